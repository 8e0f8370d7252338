"""Prints the table, row by row as the counts are made."""

_ROW = "  {:<44} {:>8} {:>12}  {}"


class Table:
    def __init__(self):
        self.rows = 0
        self.too_much = 0

    def begin(self, title):
        print(title, flush=True)
        print(_ROW.format("", "at most", "counted", ""), flush=True)

    def row(self, what, limit, counted, digits=0):
        """Adds one number and its limit, if it has one. A number equal to its limit is ok. Returns
        True if it is ok."""
        ok = limit is None or counted <= limit
        self.rows += 1
        self.too_much += not ok
        most = "-" if limit is None else f"{limit:,}"
        print(_ROW.format(what, most, f"{counted:,.{digits}f}", "ok" if ok else "TOO MUCH"),
              flush=True)
        return ok

    @staticmethod
    def note(text):
        """Prints details of the row above."""
        print("      " + text, flush=True)

    def end(self, seconds):
        print(f"{self.rows} counted, {self.too_much} too much, in {seconds:.0f} s")

/*
 * Helpers for every part of the page: elements, and requests to the server.
 */
export const find = (id) => document.getElementById(id);

export function element(tag, className, ...content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
}

export function setText(of, text) {
    if (of.textContent !== text) of.textContent = text;
}

/* Sets these children unless they are already there, so that open or selected elements stay so. */
export function setChildren(of, children) {
    if (children.length !== of.children.length || children.some((child, i) => child !== of.children[i]))
        of.replaceChildren(...children);
}

/* The page's own location, without the name and password that the address bar may contain: fetch
 * refuses an address with these. The browser still sends them. */
const here = new URL(".", location.href);
here.username = here.password = "";

const TIMEOUT_MS = 5000;

/* Returns the server's answer; throws an Error with its message if it refuses. */
export async function ask(path) {
    const response = await fetch(new URL(path, here), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    const refused = new Error(error ?? `status ${response.status}`);
    refused.status = response.status;
    throw refused;
}

/*
 * Which build of the server this is.
 */
#ifndef WSPUSHD_COMMON_VERSION_H
#define WSPUSHD_COMMON_VERSION_H

/* Returns the version and, if it was built in a clone, the commit: "0.1.0+g2041ccd", with ".dirty"
 * behind it if files had changed since that commit. */
const char *version_build(void);

#endif

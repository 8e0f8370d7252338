/*
 * The version of the running build.
 */
#ifndef WSPUSHD_COMMON_VERSION_H
#define WSPUSHD_COMMON_VERSION_H

/* Returns the version and, if it was built in a git clone, the commit: "0.1.0+g2041ccd", followed
 * by
 * ".dirty" if the tree had uncommitted changes. */
const char *version_build(void);

#endif

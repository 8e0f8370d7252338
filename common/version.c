/*
 * See version.h. This is the only file that is compiled with the name, so that a commit does not
 * compile everything again.
 */
#include "common/version.h"

#ifndef WSPUSHD_BUILD
#define WSPUSHD_BUILD WSPUSHD_VERSION
#endif

const char *version_build(void)
{
    return WSPUSHD_BUILD;
}

/*
 * See version.h. Only this file is compiled with WSPUSHD_BUILD, so that a new commit does not
 * recompile everything.
 */
#include "common/version.h"

#ifndef WSPUSHD_BUILD
#define WSPUSHD_BUILD WSPUSHD_VERSION
#endif

const char *version_build(void)
{
    return WSPUSHD_BUILD;
}

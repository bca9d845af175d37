#pragma once
#include <sys/prctl.h>
#include <uv.h>

// Variadic, so out of Swift's reach.
static inline int martlet_name_thread(const char *name) {
    return prctl(PR_SET_NAME, name);
}

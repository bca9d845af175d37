// Counts allocations by defining malloc and its siblings in the test program, before libc's: every library of
// the process then calls these, which count and hand on to glibc's own names for the same functions.
#include "allocation_counting.h"
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

static atomic_bool is_counting;
static atomic_llong count;

#ifndef HAS_SANITIZER
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void note(void) {
    if (atomic_load_explicit(&is_counting, memory_order_relaxed)) atomic_fetch_add(&count, 1);
}

void *malloc(size_t bytes) {
    note();
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes) {
    note();
    return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes) {
    note();
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    note();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    note();
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}
#endif

bool allocation_counting_works(void) {
#ifdef HAS_SANITIZER
    return false;
#else
    return true;
#endif
}

void allocation_counting_begin(void) {
    atomic_store(&count, 0);
    atomic_store(&is_counting, true);
}

int64_t allocation_counting_end(void) {
    atomic_store(&is_counting, false);
    return atomic_load(&count);
}

#pragma once
// Header-only: the hash is inlined into the caller, so nothing is linked.
#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t martlet_xxh3(const void *bytes, size_t count) {
    return XXH3_64bits(bytes, count);
}

static inline uint64_t martlet_xxh3_seeded(const void *bytes, size_t count, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, count, seed);
}

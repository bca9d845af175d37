#pragma once
#include <stdbool.h>
#include <stdint.h>

/// Whether allocations can be counted: not in a build with a sanitizer, which has an allocator of its own.
bool allocation_counting_works(void);

/// Begins to count every allocation of the process, from zero.
void allocation_counting_begin(void);

/// Ends counting.
/// Returns the allocations since it began; a reallocation is one.
int64_t allocation_counting_end(void);

/// Starts a Redis-like server on a free port of 127.0.0.1, on threads of its own, which allocates nothing: it
/// answers the greeting of our client, `GET` and `VGET` with a value of five bytes, and has no cluster.
/// Returns the port; 0 when it couldn't be started. It lives as long as the process.
uint16_t allocation_counting_server(void);

/// Asking memory for what comes.
#pragma once

#include <cstddef>

#include "ndloss/inline.hpp"

namespace ndloss {

/// A line of a cache: its bytes, and its numbers.
inline constexpr std::ptrdiff_t line_bytes = 64;
template <class T>
inline constexpr int line_numbers = static_cast<int>(line_bytes / sizeof(T));

/// Asks for the line that `at` lies in, into the second cache. The first one has few places for lines on their way, and where
/// requests take them, the loads of what is worked on wait.
NDLOSS_INLINE void prefetch(const void* at) { __builtin_prefetch(at, 0, 2); }

/// Asks for a line at every step of one from `from` until `end`.
NDLOSS_INLINE void prefetch(const void* from, const void* end) {
  for (const char* at = static_cast<const char*>(from); at < static_cast<const char*>(end); at += line_bytes) {
    prefetch(at);
  }
}

}  // namespace ndloss

/// Stores that go past the caches. A line that is written whole need not be read from memory before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#ifdef __AVX__
#include <immintrin.h>
#endif

#include "ndloss/inline.hpp"
#include "ndloss/prefetch.hpp"

namespace ndloss {

/// What results that are streamed are aligned to: the lines of caches.
inline constexpr std::size_t stream_alignment = line_bytes;

/// How many numbers stand before this one in its line.
template <class T>
NDLOSS_INLINE std::ptrdiff_t place_in_line(const T* number) {
  return static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(number) % stream_alignment / sizeof(T));
}

/// Where numbers stand in their lines as they will at `to`; `room` begins a line and holds one more than is needed.
template <class T>
NDLOSS_INLINE T* alike(T* room, const T* to) {
  return room + place_in_line(to);
}

namespace NDLOSS_ISA {
namespace {

/// Shorter stores take longer than reading the lines does.
#ifdef __AVX__
inline constexpr bool streaming_stores = true;
#else
inline constexpr bool streaming_stores = false;
#endif

/// Copies whole lines; both places begin one.
template <std::size_t bytes>
NDLOSS_INLINE void stream_lines(const void* from, void* to) {
  static_assert(bytes % stream_alignment == 0);
#if defined(__AVX512F__)
  for (std::size_t i = 0; i < bytes / sizeof(__m512i); ++i) {
    _mm512_stream_si512(static_cast<__m512i*>(to) + i, _mm512_load_si512(static_cast<const __m512i*>(from) + i));
  }
#elif defined(__AVX__)
  for (std::size_t i = 0; i < bytes / sizeof(__m256i); ++i) {
    _mm256_stream_si256(static_cast<__m256i*>(to) + i, _mm256_load_si256(static_cast<const __m256i*>(from) + i));
  }
#else
  std::memcpy(to, from, bytes);
#endif
}

/// Copies numbers that stand alike in both places. Lines at the ends, of which others may write a part, go by way of the
/// caches.
template <class T>
NDLOSS_INLINE void stream_numbers(const T* from, T* to, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t line = line_numbers<T>;
  const std::ptrdiff_t before = place_in_line(to);
  const std::ptrdiff_t head = before == 0 ? 0 : line - before;
  const std::ptrdiff_t first = head < count ? head : count;
  if (first > 0) {
    std::memcpy(to, from, static_cast<std::size_t>(first) * sizeof(T));
  }
  std::ptrdiff_t i = first;
  for (; i + line <= count; i += line) {
    stream_lines<stream_alignment>(from + i, to + i);
  }
  if (i < count) {
    std::memcpy(to + i, from + i, static_cast<std::size_t>(count - i) * sizeof(T));
  }
}

/// What is written after it, as that a block is done, is seen after what was streamed before.
NDLOSS_INLINE void end_stream() {
#ifdef __AVX__
  _mm_sfence();
#endif
}

}  // namespace
}  // namespace NDLOSS_ISA
}  // namespace ndloss

/// The pack kernels of one ISA, by stored type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/dtype.hpp"

namespace ndloss {

inline constexpr int dtypes = 13;

/// `pack` reads `count` elements `stride` bytes apart and writes them `to_stride` numbers apart; the second index says
/// whether bytes are swapped. Packing labels (T = int64) takes integers only, and keeps the bits of a uint64.
template <class T>
struct PackTable {
  void (*pack[dtypes][2])(const char* from, std::ptrdiff_t stride, std::ptrdiff_t count, T* to, std::ptrdiff_t to_stride);
  void (*unpack[dtypes])(const T* from, std::ptrdiff_t count, void* to);
};

}  // namespace ndloss

/// The pack kernels of one ISA, by stored type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/dtype.hpp"

namespace ndloss {

inline constexpr int dtypes = 21;

/// How many elements ahead packing asks memory for: two pieces of an elementwise loss.
inline constexpr std::ptrdiff_t packed_ahead = 2048;

/// `pack` reads `count` elements `stride` bytes apart and writes them `to_stride` numbers apart; the second index says
/// whether bytes are swapped. Packing labels (T = int64) takes integers only, and keeps the bits of a uint64.
template <class T>
struct PackTable {
  void (*pack[dtypes][2])(const char* from, std::ptrdiff_t stride, std::ptrdiff_t count, T* to, std::ptrdiff_t to_stride);
  void (*unpack[dtypes])(const T* from, std::ptrdiff_t count, void* to);
  /// A tile of rows of adjacent classes to classes of adjacent rows; not for labels. Strides count numbers.
  void (*transpose)(const T* from, std::ptrdiff_t row_stride, std::ptrdiff_t classes, T* to, std::ptrdiff_t to_stride);
  void (*transpose_back)(const T* from, std::ptrdiff_t classes, T* to, std::ptrdiff_t row_stride);
  /// `rows` rows, `row_stride` bytes apart, of `columns` elements side by side in this machine's byte order, to rows that stand
  /// one after the other; null for labels and numbers of 8 bits.
  void (*pack_rows[dtypes])(const char* from, std::ptrdiff_t row_stride, std::ptrdiff_t rows, std::ptrdiff_t columns, T* to);
  /// The same of rows that repeat their first element.
  void (*repeat_rows[dtypes])(const char* from, std::ptrdiff_t row_stride, std::ptrdiff_t rows, std::ptrdiff_t columns, T* to);
  /// The same of numbers that stand side by side down a column, columns `column_stride` numbers apart; not for labels.
  /// It asks memory for what stands `ahead` further down the columns.
  void (*turn)(const T* from, std::ptrdiff_t column_stride, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t ahead,
               T* to);
  /// Copies rows of adjacent numbers, strides in numbers; not for labels. Rows that stand alike in their lines in both places
  /// go past the caches, where that is worth it.
  void (*stream)(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride, std::ptrdiff_t rows,
                 std::ptrdiff_t columns);
};

}  // namespace ndloss

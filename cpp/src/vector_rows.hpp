/// Rows of vectors in an array: where those of a tile or a block stand, and whether a kernel can read them there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout.hpp"
#include "vector_tile.hpp"

namespace ndloss {

/// An array of rows of features, or of one number a row.
struct RowOperand {
  ArrayView rows;  // without the features
  Strided array;
  std::int64_t feature_stride = 0;  // in bytes
};

/// Where rows stand in an array, in bytes from its start.
struct RowPlaces {
  bool even = true;  // every row `stride` behind the one before; then the table is not filled
  std::int64_t first = 0;
  std::int64_t stride = 0;
  std::int64_t table[vector_tile_rows];

  [[nodiscard]] std::int64_t at(int r) const { return even ? first + r * stride : table[r]; }
};

/// Whether rows `row` to `row + count` are evenly spaced whatever the array's strides are.
inline bool one_run(const Layout& layout, std::int64_t row, std::int64_t count) {
  return layout.ndim <= 1 || row % layout.shape[layout.ndim - 1] + count <= layout.shape[layout.ndim - 1];
}

/// Rows `row` to `row + count` of the array: a tile, or one run of them.
inline RowPlaces places_of(const Layout& layout, const Strided& array, std::int64_t row, int count) {
  const int last = layout.ndim - 1;
  RowPlaces found;
  if (last < 0) {
    return found;
  }
  std::int64_t index[max_dims];
  std::int64_t left = row;
  for (int d = last; d > 0; --d) {
    index[d] = left % layout.shape[d];
    left /= layout.shape[d];
    found.first += index[d] * array.strides[d];
  }
  index[0] = left;
  found.first += left * array.strides[0];
  found.stride = array.strides[last];
  if (index[last] + count <= layout.shape[last]) {
    return found;
  }
  std::int64_t offset = found.first;
  for (int r = 0; r < count; ++r) {
    found.table[r] = offset;
    found.even = found.even && offset == found.first + r * found.stride;
    for (int d = last; d >= 0; --d) {
      offset += array.strides[d];
      if (++index[d] < layout.shape[d] || d == 0) {
        break;
      }
      offset -= index[d] * array.strides[d];
      index[d] = 0;
    }
  }
  return found;
}

/// Whether rows stand evenly, aligned and in this machine's order, their features side by side: then their stride in
/// elements.
template <class T>
bool in_place(const RowOperand& operand, const RowPlaces& places, std::int64_t features, std::ptrdiff_t& stride) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const bool side_by_side = features <= 1 || operand.feature_stride == size;
  stride = places.stride / size;
  return places.even && places.stride % size == 0 && side_by_side &&
         native_at<T>(operand.array, operand.array.data + places.first);
}

}  // namespace ndloss

/// How several arrays of one shape are walked together, in C order of their elements.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernel_table.hpp"
#include "ndloss/views.hpp"

namespace ndloss {

/// A shape with as few dimensions as its arrays allow: ones dropped, neighbours joined where every array steps evenly.
struct Layout {
  int ndim = 0;
  std::int64_t size = 1;
  std::int64_t shape[max_dims];
};

/// One array walked along a layout.
struct Strided {
  const char* data = nullptr;
  DType dtype = DType::float32;
  bool swapped = false;
  bool contiguous = false;  // its elements stand side by side, aligned, in this machine's byte order
  std::int64_t strides[max_dims];
};

/// Lays out `count` arrays of the same shape: all views must have the shape of the first. A null view gives an array without
/// data and with strides 0.
Layout lay_out(const ArrayView* const* views, int count, Strided* arrays);

/// The element sizes at which an array can be read in place as T.
template <class T>
bool reads_in_place(const Strided& array) {
  return array.contiguous && array.dtype == dtype_of<T>();
}

/// Whether `at`, in that array, points to numbers that can be read as T.
template <class T>
bool native_at(const Strided& array, const char* at) {
  return array.dtype == dtype_of<T>() && !array.swapped && reinterpret_cast<std::uintptr_t>(at) % sizeof(T) == 0;
}

/// Rows of an array that stand side by side, turned in registers, a tile of columns at a time, and put one after the other.
template <class T, class Pack>
void turn_rows(const Strided& array, const Pack& pack, const char* at, std::int64_t rows, std::int64_t stride,
               std::int64_t columns, T* to) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  std::int64_t done = 0;
  for (; done + tile_rows <= columns; done += tile_rows) {
    pack.transpose(reinterpret_cast<const T*>(at + done * stride), stride / size, rows, to + done, columns);
  }
  const auto copy = pack.pack[static_cast<int>(array.dtype)][0];
  for (std::int64_t r = 0; r < rows && done < columns; ++r) {
    copy(at + r * size + done * stride, stride, columns - done, to + r * columns + done, 1);
  }
}

/// Elements [begin, begin + count) as contiguous T: in place where they are, else packed into `scratch`.
template <class T, class Pack>
const T* read_block(const Layout& layout, const Strided& array, const Pack& pack, std::int64_t begin, std::int64_t count,
                    T* scratch) {
  if (array.contiguous && array.dtype == dtype_of<T>()) {
    return reinterpret_cast<const T*>(array.data) + begin;
  }
  const auto copy = pack.pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
  if (layout.ndim == 0) {
    copy(array.data, 0, count, scratch, 1);
    return scratch;
  }
  std::int64_t index[max_dims];
  const char* at = array.data;
  std::int64_t left = begin;
  for (int d = layout.ndim - 1; d >= 0; --d) {
    index[d] = left % layout.shape[d];
    left /= layout.shape[d];
    at += index[d] * array.strides[d];
  }
  const int last = layout.ndim - 1;
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const bool beside = last > 0 && layout.shape[last] >= tile_rows && array.strides[last - 1] == size &&
                      array.strides[last] % size == 0 && native_at<T>(array, array.data);
  T* to = scratch;
  while (count > 0) {
    const std::int64_t columns = layout.shape[last];
    const std::int64_t below = beside && index[last] == 0 ? layout.shape[last - 1] - index[last - 1] : 0;
    const std::int64_t rows = std::min(below, count / columns);
    if (rows > 1) {
      turn_rows(array, pack, at, rows, array.strides[last], columns, to);
      to += rows * columns;
      count -= rows * columns;
      at += (rows - 1) * array.strides[last - 1] + columns * array.strides[last];
      index[last - 1] += rows - 1;
      index[last] = columns;
    } else {
      const std::int64_t n = std::min(columns - index[last], count);
      copy(at, array.strides[last], n, to, 1);
      to += n;
      count -= n;
      at += n * array.strides[last];
      index[last] += n;
    }
    for (int d = last; d > 0 && index[d] == layout.shape[d]; --d) {
      at += array.strides[d - 1] - index[d] * array.strides[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
  return scratch;
}

}  // namespace ndloss

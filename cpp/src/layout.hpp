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

  /// How many rows, that one included, follow at the same distance.
  [[nodiscard]] std::int64_t rows_below(std::int64_t row) const {
    return ndim > 1 ? shape[ndim - 2] - row % shape[ndim - 2] : 1;
  }
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

/// Whether an array holds numbers of the compute type as this machine writes them.
template <class T>
bool native(const Strided& array) {
  return array.dtype == dtype_of<T>() && !array.swapped;
}

/// Whether `at`, in that array, points to numbers that can be read as T.
template <class T>
bool native_at(const Strided& array, const char* at) {
  return native<T>(array) && reinterpret_cast<std::uintptr_t>(at) % sizeof(T) == 0;
}

/// How far ahead memory is asked for the rows of columns that are turned one piece after the other, downwards.
template <class T>
inline constexpr std::ptrdiff_t rows_ahead = 512 / static_cast<std::ptrdiff_t>(sizeof(T));

/// Copies whole rows of an array, in the way that suits its strides.
template <class T, class Pack>
class RowsCopy {
 public:
  RowsCopy(const Layout& layout, const Strided& array, const Pack& pack, std::ptrdiff_t ahead = rows_ahead<T>)
      : array_(array), pack_(pack), ahead_(ahead) {
    if (layout.ndim > 1) {
      stride_ = array.strides[layout.ndim - 1];
      row_stride_ = array.strides[layout.ndim - 2];
    }
  }

  RowsCopy(const Strided& array, const Pack& pack, std::int64_t row_stride, std::int64_t stride,
           std::ptrdiff_t ahead = rows_ahead<T>)
      : array_(array), pack_(pack), stride_(stride), row_stride_(row_stride), ahead_(ahead) {}

  void operator()(const char* at, std::int64_t rows, std::int64_t columns, T* to) const {
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    const std::int64_t item = item_size(array_.dtype);
    const auto dtype = static_cast<std::size_t>(array_.dtype);
    const bool by_rows = !array_.swapped && pack_.pack_rows[dtype] != nullptr;
    const auto copy = pack_.pack[dtype][array_.swapped ? 1 : 0];
    if (by_rows && stride_ == item) {
      pack_.pack_rows[dtype](at, row_stride_, rows, columns, to);
    } else if (by_rows && stride_ == 0) {
      pack_.repeat_rows[dtype](at, row_stride_, rows, columns, to);
    } else if (row_stride_ == size && stride_ % size == 0 && native_at<T>(array_, at)) {
      pack_.turn(reinterpret_cast<const T*>(at), stride_ / size, rows, columns, ahead_, to);
    } else if (row_stride_ == item && rows > 8) {
      for (std::int64_t c = 0; c < columns; ++c) {
        copy(at + c * stride_, item, rows, to + c, columns);
      }
    } else {
      for (std::int64_t r = 0; r < rows; ++r) {
        copy(at + r * row_stride_, stride_, columns, to + r * columns, 1);
      }
    }
  }

 private:
  const Strided& array_;
  const Pack& pack_;
  std::int64_t stride_ = 0;
  std::int64_t row_stride_ = 0;
  std::ptrdiff_t ahead_;
};

/// Where an element stands, and its index in every dimension.
inline const char* place_of(const Layout& layout, const Strided& array, std::int64_t element, std::int64_t* index) {
  const char* at = array.data;
  for (int d = layout.ndim - 1; d >= 0; --d) {
    index[d] = element % layout.shape[d];
    element /= layout.shape[d];
    at += index[d] * array.strides[d];
  }
  return at;
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
  const char* at = place_of(layout, array, begin, index);
  const int last = layout.ndim - 1;
  const RowsCopy<T, Pack> rows_copy(layout, array, pack);
  T* to = scratch;
  while (count > 0) {
    const std::int64_t columns = layout.shape[last];
    const std::int64_t below = last > 0 && index[last] == 0 ? layout.shape[last - 1] - index[last - 1] : 0;
    const std::int64_t rows = std::min(below, count / columns);
    const std::int64_t n = rows > 0 ? columns : std::min(columns - index[last], count);
    if (rows > 1) {
      rows_copy(at, rows, columns, to);
    } else {
      copy(at, array.strides[last], n, to, 1);
    }
    if (rows > 1) {
      to += (rows - 1) * columns;
      count -= (rows - 1) * columns;
      at += (rows - 1) * array.strides[last - 1];
      index[last - 1] += rows - 1;
    }
    to += n;
    count -= n;
    at += n * array.strides[last];
    index[last] += n;
    for (int d = last; d > 0 && index[d] == layout.shape[d]; --d) {
      at += array.strides[d - 1] - index[d] * array.strides[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
  return scratch;
}

}  // namespace ndloss

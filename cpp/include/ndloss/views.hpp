/// Views of arrays that somebody else owns: a pointer, an element type, a shape and strides.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "ndloss/dtype.hpp"

namespace ndloss {

/// As many dimensions as NumPy has.
inline constexpr int max_dims = 64;

/// A read-only array. Strides are in bytes, of any sign, 0 for a broadcast dimension. `swapped` says that the bytes of each
/// element stand in the other order.
struct ArrayView {
  const void* data = nullptr;
  DType dtype = DType::float32;
  bool swapped = false;
  int ndim = 0;
  std::array<std::int64_t, max_dims> shape;
  std::array<std::int64_t, max_dims> strides;

  ArrayView() = default;

  /// A contiguous array of one dimension.
  template <class T, std::size_t N>
  ArrayView(std::span<T, N> values) : ArrayView(values.data(), {static_cast<std::int64_t>(values.size())}) {}

  template <class T, class A>
  ArrayView(const std::vector<T, A>& values) : ArrayView(std::span<const T>(values)) {}

  template <class T, std::size_t N>
  ArrayView(const std::array<T, N>& values) : ArrayView(std::span<const T>(values)) {}

  /// A C-contiguous array.
  template <class T>
  ArrayView(const T* values, std::span<const std::int64_t> sizes) : data(values), dtype(dtype_of<T>()) {
    ndim = checked_ndim(sizes.size());
    std::int64_t stride = sizeof(T);
    for (int d = ndim - 1; d >= 0; --d) {
      shape[static_cast<std::size_t>(d)] = sizes[static_cast<std::size_t>(d)];
      strides[static_cast<std::size_t>(d)] = stride;
      stride *= sizes[static_cast<std::size_t>(d)];
    }
  }

  template <class T>
  ArrayView(const T* values, std::initializer_list<std::int64_t> sizes)
      : ArrayView(values, std::span<const std::int64_t>(sizes.begin(), sizes.size())) {}

  /// Any strides, in bytes.
  template <class T>
  ArrayView(const T* values, std::span<const std::int64_t> sizes, std::span<const std::int64_t> byte_strides)
      : data(values), dtype(dtype_of<T>()) {
    ndim = checked_ndim(sizes.size());
    if (byte_strides.size() != sizes.size()) {
      throw std::invalid_argument("ndloss: an array view needs as many strides as dimensions");
    }
    std::copy(sizes.begin(), sizes.end(), shape.begin());
    std::copy(byte_strides.begin(), byte_strides.end(), strides.begin());
  }

  [[nodiscard]] std::int64_t size() const {
    std::int64_t n = 1;
    for (int d = 0; d < ndim; ++d) {
      n *= shape[static_cast<std::size_t>(d)];
    }
    return n;
  }

 private:
  static int checked_ndim(std::size_t n) {
    if (n > static_cast<std::size_t>(max_dims)) {
      throw std::invalid_argument("ndloss: an array view has at most 64 dimensions");
    }
    return static_cast<int>(n);
  }
};

/// Where results go: C-contiguous numbers of one type, or those of `layout`. Empty: not wanted.
struct Output {
  void* data = nullptr;
  DType dtype = DType::float32;
  std::int64_t size = 0;
  const ArrayView* layout =
      nullptr;  // that array's strides and byte order; it has a place for all of a call, whatever its range

  Output() = default;
  Output(void* to, DType type, std::int64_t count) : data(to), dtype(type), size(count) {}

  template <class T, std::size_t N>
  Output(std::span<T, N> values) : Output(values.data(), dtype_of<T>(), static_cast<std::int64_t>(values.size())) {}

  template <class T, class A>
  Output(std::vector<T, A>& values) : Output(std::span<T>(values)) {}

  [[nodiscard]] bool wanted() const { return data != nullptr; }
};

/// Rows of classes as softmax losses see them: element (n, c, i) of a contiguous (rows, classes, inner) array.
template <class T>
struct RowsView {
  T* data;
  std::int64_t rows;
  std::int64_t classes;
  std::int64_t inner = 1;
};

}  // namespace ndloss

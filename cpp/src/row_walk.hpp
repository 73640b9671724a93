/// The arrays of a row call, walked together by their rows, and tiles of them for the kernels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernel_table.hpp"
#include "layout.hpp"
#include "ndloss/views.hpp"
#include "softmax_tile.hpp"
#include "store.hpp"

namespace ndloss {

/// The arrays that a row call may have. The first six have a class axis.
enum RowArray : int {
  input_array,
  target_array,
  output_array,
  grad_target_array,
  grad_weight_array,
  curvature_array,
  label_array,
  upstream_array,
  sample_weight_array,
  mask_array
};
inline constexpr int class_arrays = 6;
inline constexpr int row_arrays = 10;

/// Where the rows of a tile stand in each array, in bytes from its start.
class RowOffsets {
 public:
  [[nodiscard]] std::int64_t at(int k, int r) const { return uniform_ ? first_[k] + r * stride_[k] : table_[k][r]; }

  /// Whether the rows of array k are evenly spaced, and by how many bytes.
  [[nodiscard]] bool even(int k, int rows, std::int64_t& stride) const;

 private:
  friend class RowWalk;
  bool uniform_ = true;  // evenly spaced in every array; the table is not filled then
  std::int64_t first_[row_arrays] = {};
  std::int64_t stride_[row_arrays] = {};
  std::int64_t table_[row_arrays][tile_rows];
};

/// Arrays laid out by rows: C order of the input's dimensions without the class axis.
class RowWalk {
 public:
  RowWalk(const ArrayView& input, int axis);

  /// Adds an array of the input's shape.
  void add_classes(RowArray k, const ArrayView& view);

  /// Adds an array of the input's shape without the class axis.
  void add_rows(RowArray k, const ArrayView& view);

  /// Adds a result of the input's shape, if it is wanted.
  void add_output(RowArray k, const Output& output);

  /// Adds a result of the rows from `first` on, one after the other, if it is wanted.
  void add_dense(RowArray k, const Output& output, std::int64_t first);

  /// To be called once all arrays are added.
  void complete();

  [[nodiscard]] std::int64_t rows() const { return layout_.size; }
  [[nodiscard]] std::int64_t classes() const { return classes_; }
  [[nodiscard]] bool present(int k) const { return arrays_[k].data != nullptr; }
  [[nodiscard]] const Strided& array(int k) const { return arrays_[k]; }
  [[nodiscard]] std::int64_t class_stride(int k) const { return class_strides_[k]; }
  [[nodiscard]] bool across() const { return classes_ < short_row; }

  /// At most tile_rows rows, or rows that are even.
  [[nodiscard]] RowOffsets offsets(std::int64_t row, int count) const;

  /// Whether these rows are evenly spaced in every array.
  [[nodiscard]] bool even(std::int64_t row, std::int64_t count) const;

  /// Whether these rows of array k stand side by side, `size` bytes each.
  [[nodiscard]] bool adjacent(int k, std::int64_t row, std::int64_t count, std::int64_t size) const;

 private:
  /// How far the rows of a dense array are apart.
  [[nodiscard]] std::int64_t dense_stride(int k) const { return classes_ * item_size(arrays_[k].dtype); }

  const ArrayView& input_;
  int axis_;
  std::int64_t classes_;
  ArrayView views_[row_arrays];
  bool added_[row_arrays] = {};
  bool dense_[row_arrays] = {};
  std::int64_t dense_first_ = 0;  // the row that a dense array begins with
  int given_[row_arrays];         // those that are added, given_count_ of them
  int given_count_ = 0;
  std::int64_t class_strides_[row_arrays] = {};
  Layout layout_;
  Strided arrays_[row_arrays];
};

/// Numbers of a tile: a pointer and strides in elements; `direct` if they are the array's own.
template <class T>
struct TileNumbers {
  T* data = nullptr;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t class_stride = 0;
  bool direct = false;
};

/// Whether an output stands where an operand does that is still needed when the output is first written: exponentials go
/// there before the probabilities are last read, and before the other gradients need the logits.
inline bool takes_needed_place(const RowWalk& walk) {
  const bool needs_logits = walk.present(grad_target_array) || walk.present(grad_weight_array);
  bool taken = needs_logits && walk.array(output_array).data == walk.array(input_array).data;
  for (int k = output_array; k < class_arrays && walk.present(target_array); ++k) {
    taken = taken || walk.array(k).data == walk.array(target_array).data;
  }
  return taken;
}

/// Whether the classes of a row, so many bytes apart, are so many streams: each on a page of its own, and, a multiple of a page
/// apart, in one set of a cache, where they push each other out before they are read again. They are copied once, several
/// tiles together.
inline bool scattered(std::int64_t classes, std::int64_t class_stride) {
  constexpr std::int64_t page = 4096;
  return classes > 4 && (class_stride >= page || class_stride <= -page);
}

/// The tile where a kernel can read or write the array in place; not direct where it has to go through scratch.
template <class T>
TileNumbers<T> in_place(const RowWalk& walk, int k, const RowOffsets& offsets, int rows) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const Strided& array = walk.array(k);
  const char* base = array.data + offsets.at(k, 0);
  const std::int64_t class_stride = walk.class_stride(k);
  std::int64_t row_stride = 0;
  if (!native_at<T>(array, base) || !offsets.even(k, rows, row_stride) || row_stride % size != 0 || class_stride % size != 0) {
    return {};
  }
  const bool fits = walk.across() ? rows == tile_rows && row_stride == size : class_stride == size;
  if (!fits || (walk.across() && scattered(walk.classes(), class_stride))) {
    return {};
  }
  return {const_cast<T*>(reinterpret_cast<const T*>(base)), row_stride / size, class_stride / size, true};
}

/// What a tile has of one class.
template <class T>
inline constexpr std::int64_t tile_bytes = tile_rows * static_cast<std::int64_t>(sizeof(T));

/// A tile in scratch: across, classes of tile_rows lanes; along, rows of classes.
template <class T>
TileNumbers<T> in_scratch(const RowWalk& walk, T* numbers) {
  return {numbers, walk.across() ? 1 : walk.classes(), walk.across() ? tile_rows : 1, false};
}

/// Classes of a tile that are turned at a time where they are converted too.
inline constexpr std::int64_t turned_classes = 64;

/// Converts rows of numbers side by side, `row_stride` bytes apart, to rows without gaps.
template <class T>
void convert_rows(const Strided& array, const char* from, std::int64_t row_stride, std::int64_t rows, std::int64_t columns,
                  T* to) {
  const auto& kernels = active_pack<T>();
  const auto copy = kernels.pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
  const std::int64_t size = item_size(array.dtype);
  if (row_stride == columns * size) {
    copy(from, size, rows * columns, to, 1);
  } else if (columns < 8) {
    for (std::int64_t c = 0; c < columns; ++c) {
      copy(from + c * size, row_stride, rows, to + c, columns);
    }
  } else {
    RowsCopy<T, PackTable<T>>(array, kernels, row_stride, size)(from, rows, columns, to);
  }
}

/// Packs the rows of an array into a scratch tile. Lanes without a row repeat the first.
template <class T>
void pack_tile(const RowWalk& walk, int k, const RowOffsets& offsets, int rows, const TileNumbers<T>& tile) {
  const Strided& array = walk.array(k);
  const auto copy = active_pack<T>().pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
  std::int64_t row_stride = 0;
  if (walk.across() && rows == tile_rows && offsets.even(k, rows, row_stride)) {
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    const char* base = array.data + offsets.at(k, 0);
    if (native_at<T>(array, base) && walk.class_stride(k) == size && row_stride % size == 0) {
      active_pack<T>().transpose(reinterpret_cast<const T*>(base), row_stride / size, walk.classes(), tile.data, tile_rows);
      return;
    }
    const std::int64_t stride = walk.class_stride(k);
    if (stride == item_size(array.dtype)) {
      T converted[tile_rows * turned_classes];
      for (std::int64_t c = 0; c < walk.classes(); c += turned_classes) {
        const std::int64_t n = std::min(turned_classes, walk.classes() - c);
        convert_rows(array, base + c * stride, row_stride, rows, n, converted);
        active_pack<T>().transpose(converted, n, n, tile.data + c * tile_rows, tile_rows);
      }
      return;
    }
    for (std::int64_t c = 0; c < walk.classes(); ++c) {
      copy(base + c * stride, row_stride, rows, tile.data + c * tile.class_stride, 1);
    }
    return;
  }
  const int lanes = walk.across() ? tile_rows : rows;
  for (int r = 0; r < lanes; ++r) {
    copy(array.data + offsets.at(k, r < rows ? r : 0), walk.class_stride(k), walk.classes(), tile.data + r * tile.row_stride,
         tile.class_stride);
  }
}

/// Where some whole tiles of array k begin if its classes are scattered and its rows stand side by side, so that the tiles are
/// better copied together, each class as a stream; null where that is not so.
template <class T>
char* stream_of_tiles(const RowWalk& walk, int k, std::int64_t row, std::int64_t tiles) {
  const Strided& array = walk.array(k);
  if (!walk.across() || !scattered(walk.classes(), walk.class_stride(k)) ||
      !walk.adjacent(k, row, tiles * tile_rows, static_cast<std::int64_t>(sizeof(T)))) {
    return nullptr;
  }
  char* first = const_cast<char*>(array.data) + walk.offsets(row, 1).at(k, 0);
  return native_at<T>(array, first) ? first : nullptr;
}

/// Puts the numbers of a tile in scratch where they belong.
template <class T>
void unpack_tile(const RowWalk& walk, int k, const RowOffsets& offsets, int rows, const TileNumbers<T>& tile) {
  const Strided& array = walk.array(k);
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  char* to = const_cast<char*>(array.data) + offsets.at(k, 0);
  const std::int64_t classes = walk.classes();
  const std::int64_t class_stride = walk.class_stride(k);
  std::int64_t row_stride = 0;
  const bool whole = walk.across() && rows == tile_rows && offsets.even(k, rows, row_stride);
  if (whole && native_at<T>(array, to) && class_stride == size && row_stride % size == 0) {
    active_pack<T>().transpose_back(tile.data, classes, reinterpret_cast<T*>(to), row_stride / size);
    return;
  }
  if (whole && std::abs(row_stride) < std::abs(class_stride)) {
    for (std::int64_t c = 0; c < classes; ++c) {
      store_numbers(tile.data + c * tile_rows, 1, rows, array, to + c * class_stride, row_stride);
    }
    return;
  }
  if (whole) {
    T turned[tile_rows * turned_classes];
    for (std::int64_t c = 0; c < classes; c += turned_classes) {
      const std::int64_t n = std::min(turned_classes, classes - c);
      active_pack<T>().transpose_back(tile.data + c * tile_rows, n, turned, n);
      const bool together = row_stride == n * class_stride;
      for (int r = 0; r < (together ? 1 : rows); ++r) {
        store_numbers(turned + r * n, 1, together ? rows * n : n, array, to + r * row_stride + c * class_stride, class_stride);
      }
    }
    return;
  }
  for (int r = 0; r < rows; ++r) {
    store_numbers(tile.data + r * tile.row_stride, tile.class_stride, classes, array,
                  const_cast<char*>(array.data) + offsets.at(k, r), class_stride);
  }
}

}  // namespace ndloss

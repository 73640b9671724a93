/// Rows that have nothing beside their classes but a label each, and weights, handed to a kernel several tiles at a time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ndloss/prefetch.hpp"
#include "row_driver.hpp"

namespace ndloss {

/// Tiles that are folded at a time: their labels stay in L1.
inline constexpr std::int64_t fold_tiles = copied_rows / tile_rows;

/// Whether rows are weighed or masked.
inline bool weighs_rows(const RowCall& call) { return call.selects() || !call.weight.empty(); }

/// Copies of what some rows have beside their classes.
struct RowCopies {
  std::int64_t label[copied_rows];
  double sample[copied_rows];
  bool keep[copied_rows];
};

/// Whether rows are converted before they are folded: their numbers stand side by side, and are not of the compute type.
template <class T>
bool converts(const RowDriver<T>& driver) {
  const Strided& input = driver.walk.array(input_array);
  return !native<T>(input) && driver.walk.class_stride(input_array) == item_size(input.dtype);
}

/// Tiles that are converted at a time: they stay in L1, and are as many as share their logarithms.
inline std::int64_t converted_tiles(std::int64_t classes) {
  constexpr std::int64_t numbers = 8192;
  return std::clamp<std::int64_t>(numbers / (tile_rows * std::max<std::int64_t>(classes, 1)), 1, fold_tiles);
}

/// Whether rows have labels, or sets of them that can be read where they stand, and the arrays are of the compute type, but for
/// an input that is converted.
template <class T>
bool foldable(const RowDriver<T>& driver, const Output& value, bool converted = false) {
  const RowCall& call = driver.call;
  const RowWalk& walk = driver.walk;
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const Strided& input = walk.array(input_array);
  const bool labelled = call.label_sets != nullptr
                            ? walk.class_stride(target_array) == static_cast<std::int64_t>(sizeof(std::int64_t))
                            : call.labels != nullptr;
  const bool in_place = native<T>(input) && walk.class_stride(input_array) % size == 0;
  if (!labelled || walk.classes() == 0 || !(in_place || converted) || (value.wanted() && Writer<T>(value, 0).slots() > 0)) {
    return false;
  }
  return driver.wanted == nullptr ||
         (driver.wanted->upstream == nullptr && !walk.present(curvature_array) && walk.present(output_array) &&
          walk.array(output_array).dtype == dtype_of<T>() && walk.class_stride(output_array) == size);
}

/// Copies the labels of some rows and what weighs them; memory is asked for as many labels `ahead` rows behind the first.
template <class T>
void copy_rows(const RowDriver<T>& driver, const RowOffsets& offsets, int count, std::int64_t ahead, RowCopies& copies,
               LabelledRows<T>& rows) {
  const RowCall& call = driver.call;
  const RowWalk& walk = driver.walk;
  copy_labels(walk, offsets, count, copies.label);
  rows.label = copies.label;
  rows.rule = label_rule(call, walk);
  rows.weights.by_class = call.weight.empty() ? nullptr : call.weight.data();
  if (call.sample_weight != nullptr) {
    copy_sample_weights(walk, offsets, count, copies.sample);
    rows.weights.sample = copies.sample;
  }
  if (call.mask != nullptr) {
    copy_mask(walk, offsets, count, copies.keep);
    rows.weights.keep = copies.keep;
  }
  if (driver.wanted != nullptr) {
    rows.scale = static_cast<T>(driver.wanted->scale);
    rows.weights.scale = driver.wanted->scale;
  }
  std::int64_t stride = 0;
  if (offsets.even(label_array, count, stride) && stride > 0 && stride <= static_cast<std::int64_t>(sizeof(std::int64_t))) {
    const char* next = walk.array(label_array).data + offsets.at(label_array, 0) + ahead * stride;
    prefetch(next, next + count * stride);
  }
}

/// Where the rows of some whole tiles stand, and copies of what they have beside their classes; whether they stand evenly. Rows
/// go to `converted` where it is not null.
template <class T>
bool find_rows(const RowDriver<T>& driver, std::int64_t row, std::int64_t tiles, const Output& value, T* converted,
               RowCopies& copies, LabelledRows<T>& rows) {
  const RowWalk& walk = driver.walk;
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const auto count = static_cast<int>(tiles * tile_rows);
  if (!walk.even(row, count)) {
    return false;
  }
  const RowOffsets offsets = walk.offsets(row, count);
  const Strided& input = walk.array(input_array);
  const char* first = input.data + offsets.at(input_array, 0);
  std::int64_t stride = 0;
  if (!offsets.even(input_array, count, stride)) {
    return false;
  }
  rows.classes = walk.classes();
  if (converted != nullptr) {
    convert_rows(input, first, stride, count, rows.classes, converted);
    rows.first = converted;
    rows.copied = true;
    rows.row_stride = rows.classes;
    rows.class_stride = 1;
  } else if (native_at<T>(input, first) && stride % size == 0) {
    rows.first = reinterpret_cast<const T*>(first);
    rows.row_stride = stride / size;
    rows.class_stride = walk.class_stride(input_array) / size;
  } else {
    return false;
  }
  if (value.wanted()) {
    rows.value = static_cast<T*>(value.data) + (row - driver.call.begin);
  }
  if (driver.wanted != nullptr) {
    const Strided& output = walk.array(output_array);
    const char* to = output.data + offsets.at(output_array, 0);
    if (!native_at<T>(output, to) || !offsets.even(output_array, count, stride) || stride != walk.classes() * size) {
      return false;
    }
    rows.grad = reinterpret_cast<T*>(const_cast<char*>(to));
    rows.streams = driver.streams;
  }
  if (driver.call.label_sets != nullptr) {
    const char* from = walk.array(target_array).data + offsets.at(target_array, 0);
    rows.sets = reinterpret_cast<const std::int64_t*>(from);
    rows.scale = driver.wanted != nullptr ? static_cast<T>(driver.wanted->scale) : T(1);
    return native_at<std::int64_t>(walk.array(target_array), from) && offsets.even(target_array, count, stride) &&
           stride == walk.classes() * walk.class_stride(target_array);
  }
  copy_rows(driver, offsets, count, count, copies, rows);
  return true;
}

/// The sums of a part, to be folded into.
inline RowSum begin_fold(const Part& part) { return {{part.sum, part.carry}, {part.weight, part.weight_carry}, 0}; }

/// What is folded into `total`, which began with the sums of `part`, goes back to it.
inline void add_fold(const RowSum& total, Part& part) {
  part.sum = total.loss.head;
  part.carry = total.loss.tail;
  part.weight = total.weight.head;
  part.weight_carry = total.weight.tail;
  part.count += total.kept;
}

/// Runs fold(rows, tiles, total), which returns how many whole tiles it has done, for the rows [begin, end) as long as it can,
/// and tile(row, count), which returns a bad value, for those between, at most `height` at a time. Both ways add up to the same
/// bits. `converted`: null, or room for tiles that are converted.
template <class T, class Fold, class Tile>
BadValue fold_rows(const RowDriver<T>& driver, bool folds, std::int64_t begin, std::int64_t end, std::int64_t height,
                   const Output& value, Part& part, const Fold& fold, const Tile& tile, T* converted = nullptr) {
  BadValue bad;
  const std::int64_t most = converted == nullptr ? fold_tiles : converted_tiles(driver.walk.classes());
  for (std::int64_t row = begin; row < end;) {
    const std::int64_t tiles = folds ? std::min((end - row) / tile_rows, most) : 0;
    RowCopies copies;
    LabelledRows<T> rows;
    std::int64_t done = 0;
    if (tiles > 0 && find_rows(driver, row, tiles, value, converted, copies, rows)) {
      RowSum total = begin_fold(part);
      done = fold(rows, tiles, total) * tile_rows;
      add_fold(total, part);
      row += done;
    }
    if (tiles == 0 || done < tiles * tile_rows) {
      const auto count = static_cast<int>(std::min(height, end - row));
      bad.merge(tile(row, count));
      row += count;
    }
  }
  return bad;
}

}  // namespace ndloss

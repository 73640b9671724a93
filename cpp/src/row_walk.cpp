// Laying out the arrays of a row call without their class axis.
#include "row_walk.hpp"

namespace ndloss {

bool RowOffsets::even(int k, int rows, std::int64_t& stride) const {
  if (uniform_) {
    stride = stride_[k];
    return true;
  }
  stride = rows > 1 ? table_[k][1] - table_[k][0] : 0;
  for (int r = 2; r < rows; ++r) {
    if (table_[k][r] - table_[k][r - 1] != stride) {
      return false;
    }
  }
  return true;
}

RowWalk::RowWalk(const ArrayView& input, int axis)
    : input_(input), axis_(axis), classes_(input.shape[static_cast<std::size_t>(axis)]) {
  add_classes(input_array, input);
}

void RowWalk::add_classes(RowArray k, const ArrayView& view) {
  ArrayView& rows = views_[k];
  rows.data = view.data;
  rows.dtype = view.dtype;
  rows.swapped = view.swapped;
  for (int d = 0; d < view.ndim; ++d) {
    const auto from = static_cast<std::size_t>(d);
    if (d == axis_) {
      class_strides_[k] = view.strides[from];
      continue;
    }
    const auto to = static_cast<std::size_t>(rows.ndim++);
    rows.shape[to] = view.shape[from];
    rows.strides[to] = view.strides[from];
  }
  added_[k] = true;
}

void RowWalk::add_rows(RowArray k, const ArrayView& view) {
  views_[k] = view;
  added_[k] = true;
}

void RowWalk::add_output(RowArray k, const Output& output) {
  if (!output.wanted()) {
    return;
  }
  if (output.layout != nullptr) {
    add_classes(k, *output.layout);
    return;
  }
  ArrayView view;
  view.data = output.data;
  view.dtype = output.dtype;
  view.ndim = input_.ndim;
  std::int64_t stride = item_size(output.dtype);
  for (int d = input_.ndim - 1; d >= 0; --d) {
    const auto from = static_cast<std::size_t>(d);
    view.shape[from] = input_.shape[from];
    view.strides[from] = stride;
    stride *= input_.shape[from];
  }
  add_classes(k, view);
}

void RowWalk::add_dense(RowArray k, const Output& output, std::int64_t first) {
  if (!output.wanted()) {
    return;
  }
  views_[k].data = output.data;
  views_[k].dtype = output.dtype;
  class_strides_[k] = item_size(output.dtype);
  added_[k] = dense_[k] = true;
  dense_first_ = first;
}

void RowWalk::complete() {
  const ArrayView* views[row_arrays];
  for (int k = 0; k < row_arrays; ++k) {
    views[k] = added_[k] && !dense_[k] ? &views_[k] : nullptr;
    if (added_[k]) {
      given_[given_count_++] = k;
    }
  }
  layout_ = lay_out(views, row_arrays, arrays_);
  for (int k = 0; k < row_arrays; ++k) {
    if (dense_[k]) {
      arrays_[k].data = static_cast<const char*>(views_[k].data);
      arrays_[k].dtype = views_[k].dtype;
    }
  }
}

bool RowWalk::adjacent(int k, std::int64_t row, std::int64_t count, std::int64_t size) const {
  return even(row, count) && arrays_[k].strides[layout_.ndim - 1] == size;
}

bool RowWalk::even(std::int64_t row, std::int64_t count) const {
  const int last = layout_.ndim - 1;
  return last >= 0 && row % layout_.shape[last] + count <= layout_.shape[last];
}

RowOffsets RowWalk::offsets(std::int64_t row, int count) const {
  RowOffsets result;
  const int last = layout_.ndim - 1;
  if (last < 0) {
    return result;
  }
  std::int64_t index[max_dims];
  std::int64_t left = row;
  for (int d = last; d > 0; --d) {
    index[d] = left % layout_.shape[d];
    left /= layout_.shape[d];
  }
  index[0] = left;
  if (index[last] + count <= layout_.shape[last]) {
    for (int i = 0; i < given_count_; ++i) {
      const int k = given_[i];
      if (dense_[k]) {
        result.stride_[k] = dense_stride(k);
        result.first_[k] = (row - dense_first_) * dense_stride(k);
        continue;
      }
      result.stride_[k] = arrays_[k].strides[last];
      for (int d = 0; d <= last; ++d) {
        result.first_[k] += index[d] * arrays_[k].strides[d];
      }
    }
    return result;
  }
  result.uniform_ = false;
  for (int r = 0; r < count; ++r) {
    for (int i = 0; i < given_count_; ++i) {
      const int k = given_[i];
      std::int64_t offset = dense_[k] ? (row + r - dense_first_) * dense_stride(k) : 0;
      for (int d = 0; d <= last && !dense_[k]; ++d) {
        offset += index[d] * arrays_[k].strides[d];
      }
      result.table_[k][r] = offset;
    }
    for (int d = last; d >= 0 && ++index[d] == layout_.shape[d] && d > 0; --d) {
      index[d] = 0;
    }
  }
  return result;
}

}  // namespace ndloss

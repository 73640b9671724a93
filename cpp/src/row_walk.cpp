// Laying out the arrays of a row call without their class axis.
#include "row_walk.hpp"

namespace ndloss {

bool RowOffsets::even(int k, int rows, std::int64_t& stride) const {
  stride = rows > 1 ? at[k][1] - at[k][0] : 0;
  for (int r = 2; r < rows; ++r) {
    if (at[k][r] - at[k][r - 1] != stride) {
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

void RowWalk::complete() {
  const ArrayView* views[row_arrays];
  for (int k = 0; k < row_arrays; ++k) {
    views[k] = added_[k] ? &views_[k] : nullptr;
  }
  layout_ = lay_out(views, row_arrays, arrays_);
}

RowOffsets RowWalk::offsets(std::int64_t row, int count) const {
  RowOffsets result;
  if (layout_.ndim <= 1) {
    for (int k = 0; k < row_arrays; ++k) {
      if (!present(k)) {
        continue;
      }
      const std::int64_t stride = layout_.ndim == 1 ? arrays_[k].strides[0] : 0;
      for (int r = 0; r < count; ++r) {
        result.at[k][r] = (row + r) * stride;
      }
    }
    return result;
  }
  std::int64_t index[max_dims];
  std::int64_t left = row;
  for (int d = layout_.ndim - 1; d >= 0; --d) {
    index[d] = left % layout_.shape[d];
    left /= layout_.shape[d];
  }
  for (int r = 0; r < count; ++r) {
    for (int k = 0; k < row_arrays; ++k) {
      if (!present(k)) {
        continue;
      }
      std::int64_t offset = 0;
      for (int d = 0; d < layout_.ndim; ++d) {
        offset += index[d] * arrays_[k].strides[d];
      }
      result.at[k][r] = offset;
    }
    for (int d = layout_.ndim - 1; d >= 0 && ++index[d] == layout_.shape[d] && d > 0; --d) {
      index[d] = 0;
    }
  }
  return result;
}

}  // namespace ndloss

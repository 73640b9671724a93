// Reading class indices of any integer type.
#include "row_labels.hpp"

namespace ndloss {

void read_labels(const RowCall& call, const RowWalk& walk, const RowOffsets& offsets, std::int64_t row, int rows,
                 TileLabels& out) {
  const Strided& array = walk.array(label_array);
  std::int64_t seen[tile_rows];
  const auto copy = active_kernels().pack->label.pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
  std::int64_t stride = 0;
  if (offsets.even(label_array, rows, stride)) {
    copy(array.data + offsets.at(label_array, 0), stride, rows, out.label, 1);
  } else {
    for (int r = 0; r < rows; ++r) {
      copy(array.data + offsets.at(label_array, r), 0, 1, out.label + r, 1);
    }
  }
  for (int r = rows; r < tile_rows; ++r) {
    out.label[r] = -1;
    out.weight[r] = 0;
  }
  // A uint64 of 2^63 or more, seen through its bits, is negative, and never what is ignored.
  const bool wide_unsigned = array.dtype == DType::uint64;
  const auto classes = static_cast<std::uint64_t>(walk.classes());
  const std::int64_t ignored = call.ignore_index;
  const bool can_ignore = is_likelihood(call.kind) && (!wide_unsigned || ignored >= 0);
  bool any_bad = false;
  std::int64_t kept = 0;
  for (int r = 0; r < rows; ++r) {
    const std::int64_t y = out.label[r];
    const bool inside = static_cast<std::uint64_t>(y) < classes;
    const bool skipped = can_ignore & (y == ignored);
    any_bad |= !inside & !skipped;
    const bool keep = inside & !skipped;
    out.label[r] = keep ? y : -1;
    out.weight[r] = keep ? 1.0 : 0.0;
    kept += keep ? 1 : 0;
    seen[r] = y;
  }
  out.kept = kept;
  if (any_bad) {
    for (int r = 0; r < rows && !out.bad.found(); ++r) {
      if (static_cast<std::uint64_t>(seen[r]) >= classes && !(can_ignore && seen[r] == ignored)) {
        out.bad = {.index = row + r, .value = static_cast<std::uint64_t>(seen[r]), .operand = 1};
      }
    }
  }
  if (!call.weight.empty()) {
    for (int r = 0; r < rows; ++r) {
      out.weight[r] = out.label[r] >= 0 ? call.weight[static_cast<std::size_t>(out.label[r])] : 0.0;
    }
  }
}

}  // namespace ndloss

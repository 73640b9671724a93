// Reading class indices of any integer type.
#include "row_labels.hpp"

namespace ndloss {

void read_labels(const RowCall& call, const RowWalk& walk, const RowOffsets& offsets, std::int64_t row, int rows,
                 TileLabels& out) {
  const Strided& array = walk.array(label_array);
  const auto copy = active_kernels().pack->label.pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
  std::int64_t stride = 0;
  if (offsets.even(label_array, rows, stride)) {
    copy(array.data + offsets.at[label_array][0], stride, rows, out.label, 1);
  } else {
    for (int r = 0; r < rows; ++r) {
      copy(array.data + offsets.at[label_array][r], 0, 1, out.label + r, 1);
    }
  }
  const bool wide_unsigned = array.dtype == DType::uint64;
  for (int r = 0; r < tile_rows; ++r) {
    const std::int64_t y = r < rows ? out.label[r] : -1;
    const bool beyond = wide_unsigned && y < 0;  // a uint64 of 2^63 or more, seen through its bits
    const bool ignored = r >= rows || (is_likelihood(call.kind) && y == call.ignore_index && !beyond);
    const bool inside = y >= 0 && y < walk.classes();
    if (!ignored && !inside) {
      out.bad.merge({.index = row + r, .value = static_cast<std::uint64_t>(y), .operand = 1});
    }
    const bool kept = !ignored && inside;
    out.label[r] = kept ? y : -1;
    out.weight[r] = !kept ? 0.0 : call.weight.empty() ? 1.0 : call.weight[static_cast<std::size_t>(y)];
    out.kept += kept ? 1 : 0;
  }
}

}  // namespace ndloss

// Reading masks, sample weights and class indices of any type.
#include "row_labels.hpp"

#include <algorithm>

#include "kernel_table.hpp"

namespace ndloss {
namespace {

/// Numbers of some rows, one each.
template <class T>
void read_numbers(const RowWalk& walk, const PackTable<T>& pack, int k, const RowOffsets& offsets, int rows, T* to) {
  const Strided& array = walk.array(k);
  const auto copy = pack.pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0];
  std::int64_t stride = 0;
  if (offsets.even(k, rows, stride)) {
    copy(array.data + offsets.at(k, 0), stride, rows, to, 1);
    return;
  }
  for (int r = 0; r < rows; ++r) {
    copy(array.data + offsets.at(k, r), 0, 1, to + r, 1);
  }
}

/// Whether each row is kept as far as the mask goes; how many are.
std::int64_t read_mask(const RowCall& call, const RowWalk& walk, const RowOffsets& offsets, int rows, TileLabels& out) {
  std::int64_t kept = rows;
  if (call.mask != nullptr) {
    copy_mask(walk, offsets, rows, out.keep);
    kept = std::count(out.keep, out.keep + rows, true);
  } else {
    for (int r = 0; r < rows; ++r) {
      out.keep[r] = true;
    }
  }
  for (int r = rows; r < tile_rows; ++r) {
    out.keep[r] = false;
  }
  return kept;
}

/// Sorts the rows by their labels into kept, ignored and bad ones. What is masked has no label to be looked at.
void sort_labels(const RowCall& call, const RowWalk& walk, std::int64_t row, int rows, bool selects, TileLabels& out) {
  std::int64_t seen[tile_rows];
  std::copy_n(out.label, rows, seen);
  const LabelRule rule = label_rule(call, walk);
  const LabelCount count = active_kernels().label->sort(rule, selects ? out.keep : nullptr, rows, out.label, out.weight);
  out.kept = count.kept;
  if (count.any_bad) {
    for (int r = 0; r < rows && !out.bad.found(); ++r) {
      const bool left_out = (rule.can_ignore && seen[r] == rule.ignored) || (selects && !out.keep[r]);
      if (static_cast<std::uint64_t>(seen[r]) >= rule.classes && !left_out) {
        out.bad = {.index = row + r, .value = static_cast<std::uint64_t>(seen[r]), .operand = 1};
      }
    }
  }
  if (selects) {
    for (int r = 0; r < rows; ++r) {
      out.keep[r] = out.label[r] >= 0;
    }
  }
}

}  // namespace

LabelRule label_rule(const RowCall& call, const RowWalk& walk) {
  // A uint64 of 2^63 or more, seen through its bits, is negative, and never what is ignored.
  const bool wide_unsigned = walk.array(label_array).dtype == DType::uint64;
  return {.classes = static_cast<std::uint64_t>(walk.classes()),
          .ignored = call.ignore_index,
          .can_ignore = is_likelihood(call.kind) && (!wide_unsigned || call.ignore_index >= 0)};
}

void read_labels(const RowCall& call, const RowWalk& walk, const RowOffsets& offsets, std::int64_t row, int rows,
                 TileLabels& out) {
  const bool selects = call.selects();
  out.kept = selects ? read_mask(call, walk, offsets, rows, out) : rows;
  if (call.labels != nullptr) {
    copy_labels(walk, offsets, rows, out.label);
    sort_labels(call, walk, row, rows, selects, out);
    if (!call.weight.empty()) {
      for (int r = 0; r < rows; ++r) {
        out.weight[r] = out.label[r] >= 0 ? call.weight[static_cast<std::size_t>(out.label[r])] : 0.0;
      }
    }
  }
  if (selects) {
    for (int r = 0; r < rows; ++r) {
      out.sample[r] = 1.0;
    }
    if (call.sample_weight != nullptr) {
      copy_sample_weights(walk, offsets, rows, out.sample);
    }
    for (int r = 0; r < tile_rows; ++r) {
      out.sample[r] = out.keep[r] ? out.sample[r] : 0.0;
    }
  }
}

void copy_labels(const RowWalk& walk, const RowOffsets& offsets, int rows, std::int64_t* to) {
  read_numbers(walk, active_kernels().pack->label, label_array, offsets, rows, to);
}

void copy_sample_weights(const RowWalk& walk, const RowOffsets& offsets, int rows, double* to) {
  read_numbers(walk, active_kernels().pack->twice, sample_weight_array, offsets, rows, to);
}

void copy_mask(const RowWalk& walk, const RowOffsets& offsets, int rows, bool* to) {
  std::int64_t mask[copied_rows];
  read_numbers(walk, active_kernels().pack->label, mask_array, offsets, rows, mask);
  for (int r = 0; r < rows; ++r) {
    to[r] = mask[r] != 0;
  }
}

}  // namespace ndloss

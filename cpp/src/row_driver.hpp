/// What the drivers of all row losses share: labels and scales of a tile, values out, sums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "blocks.hpp"
#include "ndloss/calls.hpp"
#include "row_labels.hpp"
#include "row_walk.hpp"
#include "store.hpp"

namespace ndloss {

/// Labels, their coefficients, and the gradient scales of the rows of a tile.
template <class T>
struct TileRows {
  TileLabels labels;
  T scale[tile_rows];
};

/// The sum of at most tile_rows numbers and what it has lost to rounding.
inline math::Pair<double> tile_sum(const double* numbers, int rows) { return active_kernels().label->sum(numbers, rows); }

template <class T>
class RowDriver {
 public:
  /// `upstream_logits` is the upstream gradient of an activation, which stands where a loss has its probabilities.
  RowDriver(const RowCall& row_call, const RowGradients* gradients, const ArrayView* upstream_logits)
      : call(row_call), wanted(gradients), walk(*row_call.input, row_call.axis) {
    const ArrayView* given = call.label_sets != nullptr ? call.label_sets : call.probabilities;
    const ArrayView* target = upstream_logits != nullptr ? upstream_logits : given;
    if (target != nullptr) {
      walk.add_classes(target_array, *target);
    }
    if (call.labels != nullptr) {
      walk.add_rows(label_array, *call.labels);
    }
    if (call.sample_weight != nullptr) {
      walk.add_rows(sample_weight_array, *call.sample_weight);
    }
    if (call.mask != nullptr) {
      walk.add_rows(mask_array, *call.mask);
    }
    if (wanted != nullptr) {
      walk.add_output(output_array, wanted->input);
      walk.add_output(grad_target_array, wanted->target);
      walk.add_dense(grad_weight_array, wanted->weight, call.begin);
      walk.add_output(curvature_array, wanted->curvature);
      if (wanted->upstream != nullptr) {
        walk.add_rows(upstream_array, *wanted->upstream);
      }
    }
    walk.complete();
    end = call.end < 0 ? walk.rows() : call.end;
    streams = walk.present(output_array) &&
              (end - call.begin) * walk.classes() * item_size(walk.array(output_array).dtype) >= streamed_bytes;
  }

  void read_rows(const RowOffsets& offsets, std::int64_t row, int rows, TileRows<T>& out) const {
    read_labels(call, walk, offsets, row, rows, out.labels);
    if (wanted != nullptr) {
      for (int r = 0; r < rows; ++r) {
        T g = 1;
        if (wanted->upstream != nullptr) {
          read_one(upstream_array, offsets.at(upstream_array, r), g);
        }
        const double scale = call.selects() ? wanted->scale * out.labels.sample[r] : wanted->scale;
        out.scale[r] = static_cast<T>(scale * static_cast<double>(g));
      }
    }
  }

  /// One element of an array, `offset` bytes from its start.
  void read_one(int k, std::int64_t offset, T& to) const {
    const Strided& array = walk.array(k);
    active_pack<T>().pack[static_cast<int>(array.dtype)][array.swapped ? 1 : 0](array.data + offset, 0, 1, &to, 1);
  }

  /// What some rows add to the divisor of a mean, and what that has lost to rounding.
  [[nodiscard]] math::Pair<double> divisor(const TileLabels& labels, int rows) const {
    const bool by_class = call.labels != nullptr && is_likelihood(call.kind) && !call.weight.empty();
    if (call.sample_weight == nullptr) {
      return by_class ? tile_sum(labels.weight, rows) : math::Pair<double>{static_cast<double>(labels.kept), 0.0};
    }
    if (!by_class) {
      return tile_sum(labels.sample, rows);
    }
    double shares[tile_rows];
    for (int r = 0; r < rows; ++r) {
      shares[r] = labels.weight[r] * labels.sample[r];
    }
    return tile_sum(shares, rows);
  }

  /// Weighs the losses of some rows, puts them where they are wanted, and adds them up. A row left out has lost 0.
  void finish_rows(std::int64_t row, int rows, double* losses, const TileLabels& labels, const Output& value,
                   Part& part) const {
    if (call.sample_weight != nullptr) {
      for (int r = 0; r < rows; ++r) {
        losses[r] = labels.keep[r] ? losses[r] * labels.sample[r] : 0.0;
      }
    }
    if (value.wanted()) {
      T numbers[tile_rows];
      for (int r = 0; r < rows; ++r) {
        numbers[r] = static_cast<T>(losses[r]);
      }
      Writer<T>(value, call.begin).store(row, rows, numbers);
    }
    add_rows(tile_sum(losses, rows), rows, labels, part);
  }

  /// Adds the sum of the losses of some rows.
  void add_rows(const math::Pair<double>& sum, int rows, const TileLabels& labels, Part& part) const {
    const math::Pair<double> share = divisor(labels, rows);
    part.add(sum.head, share.head);
    part.weight_carry += share.tail;
    part.carry += sum.tail;
    part.count += labels.kept;
  }

  /// A row without classes has no terms: 0, and nothing to divide by in a mean.
  [[nodiscard]] Accumulator rows_of_nothing(const Output& value) const {
    if (value.wanted()) {
      clear(value);
    }
    Accumulator total = call.initial;
    for (std::int64_t row = call.begin; row < end; row += tile_rows) {
      const int count = static_cast<int>(std::min<std::int64_t>(tile_rows, end - row));
      TileLabels labels;
      read_labels(call, walk, walk.offsets(row, count), row, count, labels);
      total.count += labels.kept;
      total.bad.merge(labels.bad);
    }
    return total;
  }

  const RowCall& call;
  const RowGradients* wanted;
  RowWalk walk;
  std::int64_t end;
  bool streams;  // whether results of the input's shape are too many to stay in the caches
};

/// Rows of a block: functions of the number of classes alone.
std::int64_t softmax_rows_per_block(std::int64_t classes);
inline constexpr std::int64_t nll_rows_per_block = 128 * tile_rows;
std::int64_t margin_rows_per_block(RowKind kind, std::int64_t classes);

/// The drivers; `value` is wanted or empty.
Accumulator run_cross_entropy(const RowCall& call, const RowGradients* wanted, const Output& value);
Accumulator run_nll(const RowCall& call, const RowGradients* wanted, const Output& value);
Accumulator run_margin(const RowCall& call, const RowGradients* wanted, const Output& value);

}  // namespace ndloss

/// Tiles of short rows that have nothing beside their classes but a label each, and weights, several at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels_label.hpp"
#include "kernels_softmax_across.hpp"
#include "kernels_transpose.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Adds the first `tiles` folded tiles to `total`.
template <class T>
void add_folded(const FoldedLosses& folded, const std::int64_t* kept, std::ptrdiff_t tiles, RowSum& total) {
  double sums[FoldedLosses::tiles];
  sum_losses<T>(folded, sums);
  for (std::ptrdiff_t tile = 0; tile < tiles; ++tile) {
    add_tile({sums[tile], 0.0}, kept[tile], total);
  }
}

template <SoftmaxJob J, class T>
std::ptrdiff_t fold_tiles_across(const LabelledRows<T>& given, T* numbers, T* output, std::ptrdiff_t tiles, RowSum& total) {
  const LabelledRows<T> rows = given;
  const bool turned = rows.first == nullptr;
  const bool streams = streaming_stores && rows.streams && rows.grad != nullptr;
  const bool ignores_class = rows.rule.can_ignore && static_cast<std::uint64_t>(rows.rule.ignored) < rows.rule.classes;
  T scale[tile_rows];
#pragma omp simd
  for (int l = 0; l < tile_rows; ++l) {
    scale[l] = rows.scale;
  }
  const RowWeights& weights = rows.weights;
  const bool weighed = weights.by_class != nullptr || weights.sample != nullptr;
  const bool folded = folds_logarithms<T> && rows.value == nullptr && !weighed && weights.keep == nullptr;
  double losses[tile_rows];
  FoldedLosses folded_losses;
  std::int64_t folded_kept[FoldedLosses::tiles];
  double weight[tile_rows];
  double sample[tile_rows];
  SoftmaxTile<T> tile;
  tile.input = numbers;
  tile.row_stride = tile.output_row_stride = 1;
  tile.class_stride = tile.output_class_stride = turned ? rows.class_stride : tile_rows;
  tile.rows = tile_rows;
  tile.classes = rows.classes;
  tile.value = folded ? nullptr : losses;
  tile.folded = folded ? &folded_losses : nullptr;
  tile.scale = scale;
  tile.output = output;
  std::ptrdiff_t t = 0;
  for (; t < tiles; ++t) {
    if (rows.before.act != nullptr) {
      tile.ahead = rows.before.act(rows.before.driver, t);
    }
    const std::ptrdiff_t row = t * tile_rows;
    tile.label = rows.label + row;
    tile.label_weight = nullptr;
    std::int64_t kept = tile_rows;
    if (weights.keep != nullptr || ignores_class || !labels_inside(tile.label, tile_rows, 0, rows.classes)) {
      const bool* const keep = weights.keep != nullptr ? weights.keep + row : nullptr;
      const LabelCount sorted = sort(rows.rule, keep, tile_rows, rows.label + row, weight);
      if (sorted.any_bad) {
        break;
      }
      kept = sorted.kept;
      tile.label_weight = weight;
    }
    if (weights.by_class != nullptr) {
      pick_weights(weights.by_class, tile.label, weight);
      tile.label_weight = weight;
    }
    if (weights.sample != nullptr) {
#pragma omp simd
      for (int l = 0; l < tile_rows; ++l) {
        sample[l] = tile.label[l] >= 0 ? weights.sample[row + l] : 0.0;
        scale[l] = static_cast<T>(weights.scale * sample[l]);
      }
    }
    if (turned) {
      tile.input = numbers + row;
      tile.output = output + row;
    } else {
      const T* const first = rows.first + row * rows.row_stride;
      tile.ahead = ask_ahead(rows, first);
      transpose(first, rows.row_stride, rows.classes, numbers, tile_rows);
    }
    tile.folded_tile = static_cast<int>(t % FoldedLosses::tiles);
    tile_across<Coefficients::none, J>(tile);
    if (streams) {
      stream_back(output, rows.classes, numbers, rows.grad + row * rows.classes);
    } else if (rows.grad != nullptr) {
      transpose_back(output, rows.classes, rows.grad + row * rows.classes, rows.classes);
    }
    if (weights.sample != nullptr) {
#pragma omp simd
      for (int l = 0; l < tile_rows; ++l) {
        losses[l] = tile.label[l] >= 0 ? losses[l] * sample[l] : 0.0;
        sample[l] *= weights.by_class != nullptr ? weight[l] : 1.0;
      }
    }
    if (rows.value != nullptr) {
#pragma omp simd
      for (int l = 0; l < tile_rows; ++l) {
        rows.value[row + l] = static_cast<T>(losses[l]);
      }
    }
    if (folded) {
      folded_kept[tile.folded_tile] = kept;
      if (tile.folded_tile == FoldedLosses::tiles - 1) {
        add_folded<T>(folded_losses, folded_kept, FoldedLosses::tiles, total);
      }
      continue;
    }
    const double* const shares = weights.sample != nullptr ? sample : weight;
    add_tile(sum(losses, tile_rows), weighed ? sum(shares, tile_rows) : math::Pair<double>{static_cast<double>(kept), 0.0},
             kept, total);
  }
  if (folded && t % FoldedLosses::tiles > 0) {
    add_folded<T>(folded_losses, folded_kept, t % FoldedLosses::tiles, total);
  }
  if (streams) {
    end_stream();
  }
  return t;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// Labels of a tile of rows, across the rows: sorted, looked up, and the losses that need nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "label_table.hpp"
#include "ndloss/lanes.hpp"
#include "ndloss/losses.hpp"
#include "ndloss/prefetch.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// How far ahead of a tile its rows are asked for.
inline constexpr std::ptrdiff_t row_prefetch_bytes = 16384;

template <bool masked>
LabelCount sort_labels(const LabelRule& rule, const bool* keep, int rows, std::int64_t* label, double* weight) {
  const std::uint64_t classes = rule.classes;
  const std::int64_t ignored = rule.ignored;
  const std::int64_t can_ignore = rule.can_ignore ? 1 : 0;
  std::int64_t among[tile_rows];  // as wide as labels, so that the loop below is one of vectors
#pragma omp simd
  for (int r = 0; r < tile_rows; ++r) {
    among[r] = r < rows ? 1 : 0;
  }
  if constexpr (masked) {
    const auto* mask = reinterpret_cast<const std::uint8_t*>(keep);
#pragma omp simd
    for (int r = 0; r < tile_rows; ++r) {
      among[r] &= static_cast<std::int64_t>(mask[r]);
    }
  }
  for (int r = rows; r < tile_rows; ++r) {
    label[r] = -1;
  }
  std::int64_t kept = 0;
  std::int64_t bad = 0;
#pragma omp simd reduction(+ : kept) reduction(| : bad)
  for (int r = 0; r < tile_rows; ++r) {
    const std::int64_t y = label[r];
    const std::int64_t inside = static_cast<std::uint64_t>(y) < classes ? 1 : 0;
    const std::int64_t taken = among[r] & (1 - (can_ignore & (y == ignored ? 1 : 0)));
    const std::int64_t good = inside & taken;
    bad |= taken & (1 - inside);
    kept += good;
    label[r] = good != 0 ? y : -1;
    weight[r] = good != 0 ? 1.0 : 0.0;
  }
  return {kept, bad != 0};
}

inline LabelCount sort(const LabelRule& rule, const bool* keep, int rows, std::int64_t* label, double* weight) {
  return keep != nullptr ? sort_labels<true>(rule, keep, rows, label, weight)
                         : sort_labels<false>(rule, keep, rows, label, weight);
}

/// Whether all labels lie in [lowest, classes): their distances from both ends have no sign. A quarter of them is looked at
/// beside each other one, which saves most of what the loop costs.
bool labels_inside(const std::int64_t* labels, std::ptrdiff_t count, std::int64_t lowest, std::int64_t classes) {
  const auto shift = static_cast<std::uint64_t>(-lowest);
  const std::uint64_t last = static_cast<std::uint64_t>(classes) + shift - 1;
  const auto distances = [=](std::int64_t label) __attribute__((always_inline)) {
    const std::uint64_t from_first = static_cast<std::uint64_t>(label) + shift;
    return from_first | (last - from_first);
  };
  const std::ptrdiff_t quarter = count / 4;
  std::uint64_t outside = 0;
#pragma omp simd reduction(| : outside)
  for (std::ptrdiff_t i = 0; i < quarter; ++i) {
    outside |= distances(labels[i]) | distances(labels[i + quarter]) | distances(labels[i + 2 * quarter]) |
               distances(labels[i + 3 * quarter]);
  }
  for (std::ptrdiff_t i = 4 * quarter; i < count; ++i) {
    outside |= distances(labels[i]);
  }
  return outside >> 63 == 0;
}

/// Asks for the memory of rows to come, as many numbers as these.
template <class T>
NDLOSS_INLINE void prefetch_lines(const T* first, std::ptrdiff_t numbers) {
  const char* ahead = reinterpret_cast<const char*>(first) + row_prefetch_bytes;
  prefetch(ahead, ahead + numbers * static_cast<std::ptrdiff_t>(sizeof(T)));
}

/// Asks for the memory of rows to come, as much as the tile at `first` takes. Where rows stand without gaps that is left to be
/// done while the tile is worked on: of a burst of requests some are forgotten, and the tile's own loads wait for the others.
/// Of a few classes the burst is short.
template <class T>
NDLOSS_INLINE LinesAhead ask_ahead(const LabelledRows<T>& rows, const T* first) {
  const std::ptrdiff_t bytes = tile_rows * rows.row_stride * static_cast<std::ptrdiff_t>(sizeof(T));
  if (!rows.copied && rows.row_stride == rows.classes && rows.classes >= run) {
    const std::ptrdiff_t distance = bytes > row_prefetch_bytes ? bytes : row_prefetch_bytes;
    const std::ptrdiff_t lines = bytes / line_bytes;
    return {.at = reinterpret_cast<const char*>(first) + distance, .left = lines, .each = lines, .stride = bytes};
  }
  if (!rows.copied && rows.row_stride <= 2 * rows.classes) {  // what lies between rows far apart is not read
    prefetch_lines(first, tile_rows * rows.row_stride);
  }
  return {};
}

/// Whether rows share cache lines with their neighbours, and so are read as a stream.
template <class T>
NDLOSS_INLINE bool is_stream(std::ptrdiff_t row_stride, std::ptrdiff_t class_stride) {
  return row_stride > 0 && row_stride * static_cast<std::ptrdiff_t>(sizeof(T)) <= 2 * line_bytes && class_stride == 1;
}

template <class T>
void pick(const T* first, std::ptrdiff_t row_stride, std::ptrdiff_t class_stride, const std::int64_t* label, int rows,
          T* picked) {
  if (is_stream<T>(row_stride, class_stride)) {
    prefetch_lines(first, rows * row_stride);
  }
  const T* row = first;
  for (int r = 0; r < rows; ++r, row += row_stride) {
    const std::int64_t known = label[r] & ~(label[r] >> 63);  // 0 for -1, by integer arithmetic
    picked[r] = row[known * class_stride];
  }
}

template <class T>
void likelihood(const T* picked, const std::int64_t* label, const double* weight, int rows, double* losses) {
#pragma omp simd
  for (int r = 0; r < rows; ++r) {
    const double loss = static_cast<double>(NLLLoss::value(static_cast<T>(weight[r]), picked[r]));
    losses[r] = label[r] >= 0 ? loss : 0.0;
  }
}

inline math::Pair<double> sum(const double* numbers, int rows) {
  constexpr int half_tile = tile_rows / 2;
  double padded[tile_rows];
  if (rows < tile_rows) {
    for (int r = 0; r < tile_rows; ++r) {
      padded[r] = r < rows ? numbers[r] : 0.0;
    }
    numbers = padded;
  }
  double head[half_tile];
  double tail[half_tile];
#pragma omp simd
  for (int r = 0; r < half_tile; ++r) {
    const math::Pair<double> both = math::two_sum(numbers[r], numbers[r + half_tile]);
    head[r] = both.head;
    tail[r] = both.tail;
  }
#pragma GCC unroll 4
  for (int half = half_tile / 2; half > 0; half /= 2) {
#pragma omp simd
    for (int r = 0; r < half; ++r) {
      const math::Pair<double> both = math::two_sum(head[r], head[r + half]);
      head[r] = both.head;
      tail[r] += tail[r + half] + both.tail;
    }
  }
  return {head[0], tail[0]};
}

NDLOSS_INLINE void add_pair(const math::Pair<double>& sum, math::Pair<double>& total) {
  const math::Pair<double> both = math::two_sum(total.head, sum.head);
  total = {both.head, (total.tail + both.tail) + sum.tail};
}

NDLOSS_INLINE void add_tile(const math::Pair<double>& sum, const math::Pair<double>& weight, std::int64_t kept, RowSum& total) {
  add_pair(sum, total.loss);
  add_pair(weight, total.weight);
  total.kept += kept;
}

/// A tile without weights.
NDLOSS_INLINE void add_tile(const math::Pair<double>& sum, std::int64_t kept, RowSum& total) {
  add_tile(sum, {static_cast<double>(kept), 0.0}, kept, total);
}

/// The weight of the class of each row of a tile, 0 of a row left out.
NDLOSS_INLINE void pick_weights(const double* by_class, const std::int64_t* label, double* weight) {
  double picked[tile_rows];
#pragma GCC unroll 4
  for (int r = 0; r < tile_rows; ++r) {
    picked[r] = by_class[label[r] & ~(label[r] >> 63)];  // of class 0 for -1, by integer arithmetic
  }
#pragma omp simd
  for (int r = 0; r < tile_rows; ++r) {
    weight[r] = label[r] >= 0 ? picked[r] : 0.0;
  }
}

/// The numbers of a tile at labels that are all classes.
template <class T>
NDLOSS_INLINE void pick_classes(const T* first, std::ptrdiff_t row_stride, std::ptrdiff_t class_stride,
                                const std::int64_t* label, T* picked) {
#pragma GCC unroll 4
  for (int r = 0; r < tile_rows; ++r) {
    picked[r] = first[r * row_stride + label[r] * class_stride];
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

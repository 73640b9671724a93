/// Labels of a tile of rows, across the rows: sorted, looked up, and the losses that need nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "label_table.hpp"
#include "ndloss/lanes.hpp"
#include "ndloss/losses.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

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

/// Rows that share cache lines with their neighbours are read as a stream.
template <class T>
void pick(const T* first, std::ptrdiff_t row_stride, std::ptrdiff_t class_stride, const std::int64_t* label, int rows,
          T* picked) {
  constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(T));
  const bool streams = row_stride > 0 && row_stride * size <= 128;
  const std::ptrdiff_t ahead = streams ? prefetch_bytes / size : 0;
  const T* row = first;
  for (int r = 0; r < rows; ++r, row += row_stride) {
    const std::int64_t known = label[r] & ~(label[r] >> 63);  // 0 for -1, by integer arithmetic
    __builtin_prefetch(row + ahead);
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

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// Negative log likelihood of rows with a label each, several tiles at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels_label.hpp"
#include "ndloss/prefetch.hpp"
#include "ndloss/streamed.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// The slopes of a tile of rows: all 0 but the label's.
template <class T>
NDLOSS_INLINE void write_slopes(const std::int64_t* label, bool all_kept, std::ptrdiff_t classes, T slope, T* grad) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < tile_rows * classes; ++i) {
    grad[i] = 0;
  }
  if (all_kept) {
#pragma GCC unroll 4
    for (int r = 0; r < tile_rows; ++r) {
      grad[r * classes + label[r]] = slope;
    }
    return;
  }
  for (int r = 0; r < tile_rows; ++r) {
    if (label[r] >= 0) {
      grad[r * classes + label[r]] = slope;
    }
  }
}

/// Asks for the numbers of rows at their labels.
template <class T>
NDLOSS_INLINE void prefetch_classes(const LabelledRows<T>& rows, std::ptrdiff_t count) {
  for (std::ptrdiff_t r = 0; r < count; ++r) {
    const std::int64_t y = rows.label[r];
    const std::int64_t known = static_cast<std::uint64_t>(y) < rows.rule.classes ? y : 0;
    prefetch(rows.first + r * rows.row_stride + known * rows.class_stride);
  }
}

/// Tiles that are picked before they are added up side by side.
inline constexpr std::ptrdiff_t picked_tiles = 4;

/// Rows that are read ahead of their numbers at labels.
inline constexpr int rows_read = 8;

/// Reads a byte of each line that some numbers take: loads in the order of memory, which those of one number a row are not.
template <class T>
NDLOSS_INLINE void read_lines(const T* first, std::ptrdiff_t numbers) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(first);
  for (std::ptrdiff_t at = 0; at < numbers * static_cast<std::ptrdiff_t>(sizeof(T)); at += line_bytes) {
    const unsigned int byte = bytes[at];
    asm volatile("" : : "r"(byte));
  }
}

/// The numbers of a tile at its labels, picked_tiles apart. Classes of a stream stand side by side.
template <bool stream, bool all_kept, class T>
NDLOSS_INLINE void pick_tile(const T* first, std::ptrdiff_t row_stride, std::ptrdiff_t class_stride, const std::int64_t* label,
                             T* picked) {
  const std::ptrdiff_t apart = stream ? 1 : class_stride;
  const T* row = first;
  for (int begin = 0; begin < tile_rows; begin += rows_read) {
    if constexpr (stream) {
      prefetch_lines(row, rows_read * row_stride);
      read_lines(row, (rows_read - 1) * row_stride + 1);  // no further than the last row begins
    }
#pragma GCC unroll 8
    for (int r = begin; r < begin + rows_read; ++r, row += row_stride) {
      const std::int64_t y = label[r];
      const std::int64_t known = all_kept ? y : y & ~(y >> 63);                      // 0 for -1, by integer arithmetic
      picked[r * picked_tiles] = all_kept || y >= 0 ? row[known * apart] : T(-0.0);  // of which the loss is 0
    }
  }
}

/// The sums of picked_tiles tiles whose losses stand side by side, each pair of neighbours as in `sum`.
NDLOSS_INLINE void sum_picked(const double* losses, double* head, double* tail) {
  constexpr int half_tiles = tile_rows / 2 * picked_tiles;
#pragma omp simd
  for (int i = 0; i < half_tiles; ++i) {
    const math::Pair<double> both = math::two_sum(losses[i], losses[i + half_tiles]);
    head[i] = both.head;
    tail[i] = both.tail;
  }
#pragma GCC unroll 4
  for (int half = half_tiles / 2; half >= picked_tiles; half /= 2) {
#pragma omp simd
    for (int i = 0; i < half; ++i) {
      const math::Pair<double> both = math::two_sum(head[i], head[i + half]);
      head[i] = both.head;
      tail[i] += tail[i + half] + both.tail;
    }
  }
}

/// Numbers that are built in L1 before they are streamed.
inline constexpr std::ptrdiff_t streamed_numbers = 512;

/// The slopes of `count` numbers of rows that lie one behind the other, past the caches: `row` is the first whose label has not
/// been reached, and `begin` the number that the first of them has. Memory is asked for the line `ahead` of each. Returns the
/// first row whose label is not reached.
template <bool all_kept, class T>
NDLOSS_INLINE std::ptrdiff_t stream_slopes(const LabelledRows<T>& rows, std::ptrdiff_t row, std::ptrdiff_t end,
                                           std::ptrdiff_t begin, std::ptrdiff_t count, T slope, std::ptrdiff_t ahead) {
  alignas(stream_alignment) T room[streamed_numbers];
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    room[i] = 0;
  }
  for (; row < end; ++row) {
    const std::ptrdiff_t at = row * rows.classes + rows.label[row] - begin;
    if (!all_kept && at >= count) {
      break;
    }
    if (all_kept || rows.label[row] >= 0) {
      room[at] = slope;
    }
  }
  const char* next = reinterpret_cast<const char*>(rows.first + begin + ahead);
  for (std::ptrdiff_t i = 0; i < count; i += tile_rows) {
    constexpr std::ptrdiff_t bytes = tile_rows * sizeof(T);
    if (ahead > 0) {
      prefetch(next, next + bytes);
    }
    next += bytes;
    stream_lines<bytes>(room + i, rows.grad + begin + i);
  }
  return row;
}

/// The gradients of whole tiles, past the caches; the first begins a line. Rows as many behind these are asked for meanwhile,
/// where they are read as a stream: the processor loses it while it writes.
template <bool stream, class T>
NDLOSS_INLINE void stream_gradients(const LabelledRows<T>& rows, std::ptrdiff_t tiles, bool all_kept, T slope) {
  const std::ptrdiff_t count = tiles * tile_rows;
  const std::ptrdiff_t numbers = count * rows.classes;
  const std::ptrdiff_t ahead = stream && rows.row_stride == rows.classes ? numbers : 0;
  const std::ptrdiff_t together = streamed_numbers / (tile_rows * rows.classes) * tile_rows;
  std::ptrdiff_t row = 0;
  if (all_kept && together > 0) {
    while (row < count) {
      const std::ptrdiff_t end = count - row < together ? count : row + together;
      row = stream_slopes<true>(rows, row, end, row * rows.classes, (end - row) * rows.classes, slope, ahead);
    }
  } else {
    for (std::ptrdiff_t begin = 0; begin < numbers; begin += streamed_numbers) {
      const std::ptrdiff_t part = numbers - begin < streamed_numbers ? numbers - begin : streamed_numbers;
      row = stream_slopes<false>(rows, row, count, begin, part, slope, ahead);
    }
  }
  end_stream();
}

template <bool stream, class T>
NDLOSS_INLINE std::ptrdiff_t fold_labels(const LabelledRows<T>& rows, std::ptrdiff_t tiles, RowSum& total) {
  const T slope = rows.scale * NLLLoss::slope(T(1));
  const bool ignores_class = rows.rule.can_ignore && static_cast<std::uint64_t>(rows.rule.ignored) < rows.rule.classes;
  RowSum sums = total;
  std::ptrdiff_t done = 0;
  const bool streams = streaming_stores && rows.streams && rows.grad != nullptr &&
                       reinterpret_cast<std::uintptr_t>(rows.grad) % stream_alignment == 0;
  bool any_bad = false;
  bool all_kept = true;
  while (done < tiles && !any_bad) {
    T picked[tile_rows * picked_tiles];
    std::int64_t kept[picked_tiles] = {};
    int count = 0;
    for (; count < picked_tiles && done + count < tiles; ++count) {
      const std::ptrdiff_t row = (done + count) * tile_rows;
      const T* const first = rows.first + row * rows.row_stride;
      std::int64_t* const label = rows.label + row;
      if (!ignores_class && labels_inside(label, tile_rows, 0, rows.classes)) {
        kept[count] = tile_rows;
        pick_tile<stream, true>(first, rows.row_stride, rows.class_stride, label, picked + count);
        continue;
      }
      double weight[tile_rows];
      const LabelCount sorted = sort(rows.rule, nullptr, tile_rows, label, weight);
      any_bad = sorted.any_bad;
      if (any_bad) {
        break;
      }
      kept[count] = sorted.kept;
      all_kept &= sorted.kept == tile_rows;
      pick_tile<stream, false>(first, rows.row_stride, rows.class_stride, label, picked + count);
    }
    for (int tile = count; tile < picked_tiles; ++tile) {
      for (int r = 0; r < tile_rows; ++r) {
        picked[r * picked_tiles + tile] = 0;
      }
    }
    double losses[tile_rows * picked_tiles];
#pragma omp simd
    for (int i = 0; i < tile_rows * picked_tiles; ++i) {
      losses[i] = static_cast<double>(NLLLoss::value(T(1), picked[i]));
    }
    double head[tile_rows / 2 * picked_tiles];
    double tail[tile_rows / 2 * picked_tiles];
    sum_picked(losses, head, tail);
    for (int tile = 0; tile < count; ++tile, ++done) {
      const std::ptrdiff_t row = done * tile_rows;
      if (rows.value != nullptr) {
        for (int r = 0; r < tile_rows; ++r) {
          rows.value[row + r] = NLLLoss::value(T(1), picked[r * picked_tiles + tile]);
        }
      }
      if (rows.grad != nullptr && !streams) {
        write_slopes(rows.label + row, kept[tile] == tile_rows, rows.classes, slope, rows.grad + row * rows.classes);
      }
      add_tile({head[tile], tail[tile]}, kept[tile], sums);
    }
  }
  if (streams) {
    stream_gradients<stream>(rows, done, all_kept, slope);
  }
  total = sums;
  return done;
}

template <class T>
std::ptrdiff_t fold(const LabelledRows<T>& given, std::ptrdiff_t tiles, RowSum& total) {
  const LabelledRows<T> rows = given;
  if (is_stream<T>(rows.row_stride, rows.class_stride)) {
    return fold_labels<true>(rows, tiles, total);
  }
  prefetch_classes(rows, tiles * tile_rows);
  return fold_labels<false>(rows, tiles, total);
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// Margin losses of short rows: classes in order, lanes across the rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels_label.hpp"
#include "kernels_margin_hinges.hpp"
#include "kernels_transpose.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// A class as a number of the compute type, which every vector unit compares; exact for short rows.
template <class T>
NDLOSS_INLINE T class_number(std::int64_t c) {
  return static_cast<T>(static_cast<std::int32_t>(c));
}

/// The sums of rows with one target each.
template <int P, class T>
struct TargetLanes {
  T own[lanes];  // class_number of the target, -1 for a row without target
  EdgeLanes<T> edges;
  WideLanes<T> values;
  SlopeLanes<P, T> slopes;
};

template <MarginKind K, MarginJob J, int Number, class T>
NDLOSS_INLINE void observe_across(const T* numbers, T* output, std::ptrdiff_t c, int l, TargetLanes<power(K), T>& lane) {
  const MarginEdge<T> edge{lane.edges.head[l], lane.edges.tail[l]};
  const auto sum = pairwise<Number>([&](int k) __attribute__((always_inline)) {
    const std::ptrdiff_t i = (c + k) * lanes + l;
    const bool is_target = lane.own[l] == class_number<T>(c + k);
    T unused = 0;
    return observe<K, J>(edge, T(1), math::select(is_target, -math::infinity<T>, numbers[i]),
                         J == MarginJob::gradient ? output[i] : unused);
  });
  lane.values.add(l, widen(sum.value));
  if constexpr (J == MarginJob::gradient) {
    lane.slopes.add(l, sum.slope);
  }
}

/// Sums up rows whose targets are `own` and score `score`, inf where there is none. Slopes go to `output`, 0 for the target.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE void observe_rows(const T* numbers, T* output, std::ptrdiff_t classes, T margin, const T* score,
                                TargetLanes<power(K), T>& lane) {
  lane.values.clear();
  lane.slopes.clear();
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    lane.edges.set(l, margin, score[l]);
  }
  std::ptrdiff_t c = 0;
  for (; c + run <= classes; c += run) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, run>(numbers, output, c, l, lane);
    }
  }
  for (; c < classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, 1>(numbers, output, c, l, lane);
    }
  }
}

/// Second derivatives from the slopes of a tile, of which a target's is not positive.
template <class T>
[[gnu::noinline]] void curvature_across(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  T sum[lanes];
  for (int l = 0; l < lanes; ++l) {
    sum[l] = 0;
  }
  for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      const T curvature = MultiMarginLoss::curvature(tile.output[c * lanes + l]);
      sum[l] += curvature;
      tile.curvature[c * lanes + l] = tile.coefficient[l] * curvature;
    }
  }
  for (int l = 0; l < tile.rows; ++l) {
    if (tile.count[l] > 0) {
      tile.curvature[tile.target[l * tile.target_stride] * lanes + l] = tile.coefficient[l] * sum[l];
    }
  }
}

/// One class of rows with several targets against one of them, whose own scores are -inf.
template <MarginJob J, int Number, class T>
NDLOSS_INLINE void observe_target(const MarginTile<T>& tile, const EdgeLanes<T>& edges, const T* times, std::ptrdiff_t c, int l,
                                  WideLanes<T>& values, SlopeLanes<1, T>& slopes) {
  const MarginEdge<T> edge{edges.head[l], edges.tail[l]};
  const auto sum = pairwise<Number>([&](int k) __attribute__((always_inline)) {
    const std::ptrdiff_t i = (c + k) * lanes + l;
    T unused = 0;
    return observe<MarginKind::several, J>(edge, times[l], tile.numbers[i], J == MarginJob::gradient ? tile.output[i] : unused);
  });
  values.add(l, widen(sum.value));
  if constexpr (J == MarginJob::gradient) {
    slopes.add(l, sum.slope);
  }
}

/// The labels of rows with several targets, by their place in the row: -1 behind a row's last one. No branch asks how many a
/// row has: it would be guessed wrong for most rows. Returns how many places the longest row takes.
template <class T>
NDLOSS_INLINE std::ptrdiff_t read_labels(const MarginTile<T>& tile, std::int32_t (*own)[lanes]) {
  const auto none = static_cast<std::int32_t>(tile.classes);
  std::int32_t ended[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    ended[l] = 0;
  }
  for (std::ptrdiff_t k = 0; k < tile.classes; ++k) {
    for (int l = 0; l < lanes; ++l) {
      own[k][l] = static_cast<std::int32_t>(tile.target[l * tile.target_stride + k]);
    }
    std::int32_t going = 0;
#pragma omp simd reduction(+ : going)
    for (int l = 0; l < lanes; ++l) {
      ended[l] |= own[k][l] < 0 ? 1 : 0;
      own[k][l] = ended[l] != 0 ? none : own[k][l];
      going += 1 - ended[l];
    }
    if (going == 0) {
      return k;
    }
  }
  return tile.classes;
}

/// How often each row has its k-th label; 0 where it has none, or has had it at an earlier place.
NDLOSS_INLINE void count_labels(const std::int32_t (*own)[lanes], std::ptrdiff_t k, std::ptrdiff_t most, std::int32_t none,
                                std::int32_t* often) {
  std::int32_t before[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    before[l] = own[k][l] == none ? 1 : 0;
    often[l] = 0;
  }
  for (std::ptrdiff_t j = 0; j < k; ++j) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      before[l] |= own[j][l] == own[k][l] ? 1 : 0;
    }
  }
  for (std::ptrdiff_t j = k; j < most; ++j) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      often[l] += own[j][l] == own[k][l] ? 1 : 0;
    }
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    often[l] = before[l] != 0 ? 0 : often[l];
  }
}

/// Rows with several targets each: all classes against the first targets, then the second ones, ...
template <MarginJob J, class T>
NDLOSS_INLINE void observe_targets(const MarginTile<T>& tile, WideLanes<T>& values) {
  std::int32_t own[short_row][lanes];
  T score[short_row][lanes];
  const auto none = static_cast<std::int32_t>(tile.classes);
  const std::ptrdiff_t most = read_labels(tile, own);
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    tile.numbers[tile.classes * lanes + l] = 0;
  }
  for (std::ptrdiff_t k = 0; k < most; ++k) {
    for (int l = 0; l < lanes; ++l) {
      T& at = tile.numbers[own[k][l] * lanes + l];
      score[k][l] = at;
      at = -math::infinity<T>;
    }
  }
  if constexpr (J == MarginJob::gradient) {
    for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        tile.output[c * lanes + l] = 0;
      }
    }
  }
  values.clear();
  for (std::ptrdiff_t k = 0; k < most; ++k) {
    EdgeLanes<T> edges;
    SlopeLanes<1, T> slopes;
    std::int32_t often[lanes];
    T times[lanes];
    slopes.clear();
    count_labels(own, k, most, none, often);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      times[l] = static_cast<T>(often[l]);
    }
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {  // a target that a row does not have scores inf: no class comes near it
      edges.set(l, tile.margin, math::select(times[l] > T(0), score[k][l], math::infinity<T>));
    }
    std::ptrdiff_t c = 0;
    for (; c + run <= tile.classes; c += run) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_target<J, run>(tile, edges, times, c, l, values, slopes);
      }
    }
    for (; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_target<J, 1>(tile, edges, times, c, l, values, slopes);
      }
    }
    if constexpr (J == MarginJob::gradient) {
      T slope[lanes];
      std::int32_t place[lanes];
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        slope[l] = static_cast<T>(0.0 - slopes.at(l));
        place[l] = often[l] > 0 ? own[k][l] : none;
      }
      for (int l = 0; l < lanes; ++l) {
        tile.output[place[l] * lanes + l] = slope[l];
      }
    }
  }
}

/// Rows with one target each, or none.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE void observe_one_target(const MarginTile<T>& tile, WideLanes<T>& values) {
  TargetLanes<power(K), T> lane;
  std::int64_t own[lanes];
  T score[lanes];
  for (int l = 0; l < lanes; ++l) {
    const bool given = l < tile.rows && tile.count[l] > 0;
    own[l] = given ? tile.target[l * tile.target_stride] : -1;
    score[l] = given ? tile.numbers[own[l] * lanes + l] : math::infinity<T>;
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    lane.own[l] = class_number<T>(own[l]);
  }
  observe_rows<K, J>(tile.numbers, tile.output, tile.classes, tile.margin, score, lane);
  if constexpr (J == MarginJob::gradient) {
    for (int l = 0; l < tile.rows; ++l) {
      if (tile.count[l] > 0) {
        tile.output[tile.target[l * tile.target_stride] * lanes + l] = static_cast<T>(0.0 - lane.slopes.at(l));
      }
    }
  }
  values = lane.values;
}

template <MarginKind K, MarginJob J, class T>
void tile_across(const MarginTile<T>& given) {
  const MarginTile<T> tile = given;
  WideLanes<T> values;
  if constexpr (K == MarginKind::several) {
    observe_targets<J>(tile, values);
  } else {
    observe_one_target<K, J>(tile, values);
  }
  if constexpr (J == MarginJob::gradient && K == MarginKind::one_squared) {
    if (tile.curvature != nullptr) {
      curvature_across(tile);
    }
  }
  if constexpr (J == MarginJob::gradient) {
    T coefficient[lanes];  // copied, because the output might be where they stand
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      coefficient[l] = tile.coefficient[l];
    }
    for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
      T* const output = tile.output + c * lanes;
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        output[l] *= coefficient[l];
      }
    }
  }
  for (int l = 0; l < tile.rows; ++l) {
    tile.value[l] = values.at(l);
  }
}

/// Whole tiles of rows with a class each, turned into `numbers`, their gradients by way of `output`, as far as all labels of a
/// tile are classes: how many tiles that were.
template <MarginKind K, MarginJob J, class T>
std::ptrdiff_t fold_across(const LabelledRows<T>& given, T margin, T* numbers, T* output, std::ptrdiff_t tiles, RowSum& total) {
  const LabelledRows<T> rows = given;
  const auto classes = static_cast<double>(rows.classes);
  const auto coefficient = static_cast<T>(MultiMarginLoss::value(static_cast<double>(rows.scale), 1.0, classes));
  for (std::ptrdiff_t tile = 0; tile < tiles; ++tile) {
    const std::ptrdiff_t row = tile * tile_rows;
    const std::int64_t* const label = rows.label + row;
    if (!labels_inside(label, tile_rows, 0, rows.classes)) {
      return tile;
    }
    const T* const first = rows.first + row * rows.row_stride;
    if (rows.row_stride <= 2 * rows.classes) {  // what lies between rows far apart is not read
      prefetch_lines(first, tile_rows * rows.row_stride);
    }
    T score[lanes];
    pick_classes(first, rows.row_stride, 1, label, score);
    transpose(first, rows.row_stride, rows.classes, numbers, tile_rows);
    TargetLanes<power(K), T> lane;
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      lane.own[l] = class_number<T>(label[l]);
    }
    observe_rows<K, J>(numbers, output, rows.classes, margin, score, lane);
    if constexpr (J == MarginJob::gradient) {
      T slope[lanes];
      T number[lanes];
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        number[l] = 0;
        slope[l] = static_cast<T>(0.0 - lane.slopes.at(l));
      }
      for (std::ptrdiff_t c = 0; c < rows.classes; ++c) {
#pragma omp simd
        for (int l = 0; l < lanes; ++l) {
          const bool is_target = lane.own[l] == number[l];
          number[l] += T(1);
          output[c * lanes + l] = coefficient * math::select(is_target, slope[l], output[c * lanes + l]);
        }
      }
      transpose_back(output, rows.classes, rows.grad + row * rows.classes, rows.classes);
    }
    double losses[lanes];
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      losses[l] = MultiMarginLoss::value(lane.values.at(l), 1.0, classes);
    }
    if (rows.value != nullptr) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        rows.value[row + l] = static_cast<T>(losses[l]);
      }
    }
    add_tile(sum(losses, tile_rows), tile_rows, total);
  }
  return tiles;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

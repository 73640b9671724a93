/// Margin losses of short rows: classes in order, lanes across the rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels_label.hpp"
#include "kernels_margin_sets.hpp"
#include "kernels_transpose.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

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
/// Memory `ahead` is asked for on the way.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE void observe_rows(const T* numbers, T* output, std::ptrdiff_t classes, T margin, const T* score, LinesAhead ahead,
                                TargetLanes<power(K), T>& lane) {
  lane.values.clear();
  lane.slopes.clear();
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    lane.edges.set(l, margin, score[l]);
  }
  std::ptrdiff_t c = 0;
  for (; c + run <= classes; c += run) {
    ahead.ask_classes<T>(run);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, run>(numbers, output, c, l, lane);
    }
  }
  ahead.ask_classes<T>(classes - c);
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
      const T curvature = MultiMarginLoss::curvature(tile.room.output[c * lanes + l]);
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

/// Rows with one target each, or none.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE void observe_one_target(const MarginTile<T>& tile, WideLanes<T>& values) {
  TargetLanes<power(K), T> lane;
  std::int64_t own[lanes];
  T score[lanes];
  for (int l = 0; l < lanes; ++l) {
    const bool given = l < tile.rows && tile.count[l] > 0;
    own[l] = given ? tile.target[l * tile.target_stride] : -1;
    score[l] = given ? tile.room.numbers[own[l] * lanes + l] : math::infinity<T>;
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    lane.own[l] = class_number<T>(own[l]);
  }
  observe_rows<K, J>(tile.room.numbers, tile.room.output, tile.classes, tile.margin, score, {}, lane);
  if constexpr (J == MarginJob::gradient) {
    for (int l = 0; l < tile.rows; ++l) {
      if (tile.count[l] > 0) {
        tile.room.output[tile.target[l * tile.target_stride] * lanes + l] = static_cast<T>(0.0 - lane.slopes.at(l));
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
    read_sets(tile.target, tile.classes, tile.room.listed);
    observe_targets<J>(tile.room, tile.classes, tile.margin, {}, values);
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
      T* const output = tile.room.output + c * lanes;
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

/// One tile of rows with a class each.
template <MarginKind K, MarginJob J, class T>
NDLOSS_INLINE void fold_tile(const LabelledRows<T>& rows, const T* first, const std::int64_t* label, T margin, T coefficient,
                             const MarginRoom<T>& room, const LinesAhead& ahead, TargetLanes<power(K), T>& lane) {
  T score[lanes];
  pick_classes(first, rows.row_stride, 1, label, score);
  transpose(first, rows.row_stride, rows.classes, room.numbers, tile_rows);
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    lane.own[l] = class_number<T>(label[l]);
  }
  observe_rows<K, J>(room.numbers, room.output, rows.classes, margin, score, ahead, lane);
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
        room.output[c * lanes + l] = coefficient * math::select(is_target, slope[l], room.output[c * lanes + l]);
      }
    }
  }
}

/// One tile of rows with several targets each, the labels of which are listed.
template <MarginJob J, class T>
NDLOSS_INLINE void fold_tile_of_sets(const LabelledRows<T>& rows, const T* first, T margin, T coefficient,
                                     const MarginRoom<T>& room, const LinesAhead& ahead, WideLanes<T>& values) {
  transpose(first, rows.row_stride, rows.classes, room.numbers, tile_rows);
  observe_targets<J>(room, rows.classes, margin, ahead, values);
  if constexpr (J == MarginJob::gradient) {
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < tile_rows * rows.classes; ++i) {
      room.output[i] *= coefficient;
    }
  }
}

/// Whole tiles of rows, their scores turned into `room.numbers`, their gradients by way of `room.output`, as far as all labels
/// of a tile are what they may be: how many tiles that were.
template <MarginKind K, MarginJob J, class T>
std::ptrdiff_t fold_across(const LabelledRows<T>& given, T margin, const MarginRoom<T>& given_room, std::ptrdiff_t tiles,
                           RowSum& total) {
  const LabelledRows<T> rows = given;
  const MarginRoom<T> room = given_room;
  const auto classes = static_cast<double>(rows.classes);
  const auto coefficient = static_cast<T>(MultiMarginLoss::value(static_cast<double>(rows.scale), 1.0, classes));
  const bool streams = streaming_stores && J == MarginJob::gradient && rows.streams;
  std::ptrdiff_t tile = 0;
  for (; tile < tiles; ++tile) {
    const std::ptrdiff_t row = tile * tile_rows;
    const std::int64_t* const label = K == MarginKind::several ? rows.sets + row * rows.classes : rows.label + row;
    bool inside = false;
    if constexpr (K == MarginKind::several) {
      prefetch_lines(label, tile_rows * rows.classes);
      inside = read_sets(label, rows.classes, room.listed);
    } else {
      inside = labels_inside(label, tile_rows, 0, rows.classes);
    }
    if (!inside) {
      break;
    }
    const T* const first = rows.first + row * rows.row_stride;
    TargetLanes<power(K), T> lane;
    const LinesAhead ahead = ask_ahead(rows, first);
    if constexpr (K == MarginKind::several) {
      fold_tile_of_sets<J>(rows, first, margin, coefficient, room, ahead, lane.values);
    } else {
      fold_tile<K, J>(rows, first, label, margin, coefficient, room, ahead, lane);
    }
    if (streams) {
      stream_back(room.output, rows.classes, room.numbers, rows.grad + row * rows.classes);
    } else if constexpr (J == MarginJob::gradient) {
      transpose_back(room.output, rows.classes, rows.grad + row * rows.classes, rows.classes);
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
  if (streams) {
    end_stream();
  }
  return tile;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// Long rows: one contiguous row at a time, or one segment of it, lanes along the classes.
#pragma once

#include <cstddef>

#include "kernels_softmax_rows.hpp"
#include "ndloss/prefetch.hpp"
#include "ndloss/streamed.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Not inlined, as what follows a row's loops is not: the jobs share it.
template <class T>
[[gnu::noinline]] T row_max(const T* x, std::ptrdiff_t n) {
  constexpr std::ptrdiff_t width = std::ptrdiff_t{lanes} * 4;
  T max[width];
  for (std::ptrdiff_t l = 0; l < width; ++l) {
    max[l] = -math::infinity<T>;
  }
  std::ptrdiff_t c = 0;
  for (; c + width <= n; c += width) {
#pragma omp simd
    for (std::ptrdiff_t l = 0; l < width; ++l) {
      max[l] = x[c + l] > max[l] ? x[c + l] : max[l];
    }
  }
  for (; c + lanes <= n; c += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      max[l] = x[c + l] > max[l] ? x[c + l] : max[l];
    }
  }
  for (std::ptrdiff_t l = 0; c < n; ++c, ++l) {
    max[l] = x[c] > max[l] ? x[c] : max[l];
  }
#pragma GCC unroll 8
  for (std::ptrdiff_t half = width / 2; half > 0; half /= 2) {
#pragma omp simd
    for (std::ptrdiff_t l = 0; l < half; ++l) {
      max[l] = max[l + half] > max[l] ? max[l + half] : max[l];
    }
  }
  return max[0];
}

template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void observe_run(const SoftmaxTile<T>& tile, const SoftmaxReference<T>& reference, std::ptrdiff_t c, int l,
                               std::ptrdiff_t r, RowSums<T>& sums) {
  Front<T> front = sums.template front_of<J>(l);
  sums.template add<K>(l, observe<Direction::along, K, J, run>(
                              tile, reference, r, [c, l](int k) __attribute__((always_inline)) { return c + l + k * lanes; },
                              [](int /*k*/) __attribute__((always_inline)) { return true; }, front));
  sums.template set_front<J>(l, front);
}

/// Groups of lanes that the last classes of a row, fewer than a step, are taken by.
inline constexpr int part = run / 2;

template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void observe_part(const SoftmaxTile<T>& tile, const SoftmaxReference<T>& reference, int first, int l, int count,
                                RowSums<T>& sums) {
  const auto at = [first, l](int k) __attribute__((always_inline)) { return first + l + k * lanes; };
  Front<T> front = sums.template front_of<J>(l);
  sums.template add<K>(l,
                       observe<Direction::along, K, J, part>(
                           tile, reference, 0, at, [&](int k) __attribute__((always_inline)) { return at(k) < count; }, front));
  sums.template set_front<J>(l, front);
}

/// The front of a lane, once the row is at its end: the rest of its row unless it is a maximum.
template <SoftmaxJob J, class T>
NDLOSS_INLINE double end_lane(const SoftmaxReference<T>& reference, int l, RowSums<T>& sums) {
  const Front<T> front = sums.template front_of<J>(l);
  const bool is_max = front.x == reference.max;
  const T e = carries(J) ? front.e : reference.exp(front.x);
  sums.rest.add(l, widen(Tally<T>{is_max ? T(0) : e}));
  return is_max ? 1.0 : 0.0;
}

/// The last classes of a row copied out, so that whole groups can be read.
template <class T>
struct RowRemainder {
  static constexpr int room = lanes * run;
  T input[room];
  T target[room];
  T per_class[room];
  T output[room];
  SoftmaxTile<T> tile;

  NDLOSS_INLINE RowRemainder(const SoftmaxTile<T>& whole, std::ptrdiff_t r, std::ptrdiff_t first, int count) : tile(whole) {
    const auto take = [&](const T* from, T* to) __attribute__((always_inline)) {
      for (int l = 0; l < count; ++l) {
        to[l] = from[l];
      }
      for (int l = count; l % (lanes * part) != 0; ++l) {
        to[l] = from[0];
      }
    };
    take(whole.input + r * whole.row_stride + first, input);
    if (whole.target != nullptr) {
      take(whole.target + r * whole.target_row_stride + first, target);
    }
    if (whole.per_class != nullptr) {
      take(whole.per_class + first, per_class);
    }
    tile.input = input;
    tile.target = target;
    tile.per_class = per_class;
    tile.output = output;
  }
};

/// Sums over the first `end` classes of row r; how many lanes have come to the row's maximum. Not inlined: tiles and segments
/// share it.
template <Coefficients K, SoftmaxJob J, class T>
[[gnu::noinline]] double fold_row(const SoftmaxTile<T>& given, const SoftmaxReference<T> reference, std::ptrdiff_t r,
                                  std::ptrdiff_t end, RowSums<T>& sums) {
  const SoftmaxTile<T> tile = given;
  constexpr std::ptrdiff_t step = std::ptrdiff_t{lanes} * run;
  sums.template clear<K>();
  const Front<T> none{-math::infinity<T>, reference.exp(-math::infinity<T>)};
  for (int l = 0; l < lanes; ++l) {
    sums.template set_front<J>(l, none);
  }
  std::ptrdiff_t c = 0;
  const T* ahead = tile.input + (r + tile.rows) * tile.row_stride;  // the same row of the next tile
  for (; c + step <= end; c += step) {
    prefetch(ahead + c, ahead + c + step);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_run<K, J>(tile, reference, c, l, r, sums);
    }
  }
  if (c < end) {
    prefetch(ahead + c, ahead + end);
    const int count = static_cast<int>(end - c);
    const RowRemainder<T> rest(tile, r, c, count);
    for (int first = 0; first < count; first += lanes * part) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        observe_part<K, J>(rest.tile, reference, first, l, count, sums);
      }
    }
    if constexpr (stores(J)) {
      for (int l = 0; l < count; ++l) {
        tile.output[r * tile.output_row_stride + c + l] = rest.output[l];
      }
    }
  }
  double maxima = 0;
#pragma omp simd reduction(+ : maxima)
  for (int l = 0; l < lanes; ++l) {
    maxima += end_lane<J>(reference, l, sums);
  }
  return maxima;
}

template <class T>
[[gnu::noinline]] double joined(WideLanes<T>& wide) {
  const math::Pair<double> sum = wide.join();
  return math::joined(sum.head, sum.tail);
}

/// What one class adds to the inner product of a row.
template <SoftmaxJob J, class T>
NDLOSS_INLINE void add_inner(WideLanes<T>& sums, int l, const T* g, const T* e, T share, std::ptrdiff_t c) {
  const T p = J == SoftmaxJob::softmax_vjp ? e[c] * math::Real<T>::unbias * share : T(1);
  sums.add(l, widen(Tally<T>{g[c] * p, T(0)}));
}

/// Σ g P (softmax) or Σ g (log-softmax) of a row whose exponentials stand in the output.
template <SoftmaxJob J, class T>
[[gnu::noinline]] double inner_product(const SoftmaxTile<T>& tile, std::ptrdiff_t r, T share) {
  const T* g = tile.target + r * tile.target_row_stride;
  const T* e = tile.output + r * tile.output_row_stride;
  const std::ptrdiff_t size = tile.classes;
  WideLanes<T> sums;
  sums.clear();
  std::ptrdiff_t c = 0;
  for (; c + lanes <= size; c += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      add_inner<J>(sums, l, g, e, share, c + l);
    }
  }
  for (int l = 0; c < size; ++c, ++l) {
    add_inner<J>(sums, l, g, e, share, c);
  }
  return joined(sums);
}

/// Not inlined: the jobs share it.
template <class T>
[[gnu::noinline]] void curvature_row(const SoftmaxTile<T>& given, const Emission<T> row, double rest, std::ptrdiff_t r) {
  const SoftmaxTile<T> tile = given;
  const T complement = static_cast<T>(rest / (1.0 + rest));
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
    emit_curvature<Direction::along>(tile, row, complement, c, r);
  }
}

template <Coefficients K, SoftmaxJob J, class T>
[[gnu::noinline]] void emit_row(const SoftmaxTile<T>& given, const Emission<T> row, std::ptrdiff_t r) {
  const SoftmaxTile<T> tile = given;
  if constexpr (J == SoftmaxJob::gradient && K == Coefficients::probabilities) {
#pragma omp simd
    for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
      emit_target_gradients<Direction::along>(tile, row, c, r);
    }
  }
#pragma omp simd
  for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
    emit<Direction::along, K, J>(tile, row, c, r);
  }
}

template <Coefficients K, SoftmaxJob J, class T>
void tile_along(const SoftmaxTile<T>& given) {
  SoftmaxTile<T> tile = given;
  if (!streaming_stores && tile.stream != nullptr) {
    tile.output = tile.stream;
    tile.stream = nullptr;
  }
  ReferenceLanes<T> references;
  RowLanes<T> rows;
  for (int l = 0; l < lanes; ++l) {
    references.max[l] = l < tile.rows ? row_max(tile.input + l * tile.row_stride, tile.classes) : T(0);
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    references.derive(l);
  }
  read_rows<Direction::along, K, J>(tile, rows);
  for (int l = 0; l < tile.rows; ++l) {
    RowSums<T> sums;
    rows.maxima[l] = fold_row<K, summed_as(J)>(tile, references.get(l), l, tile.classes, sums);
    rows.rest[l] = joined(sums.rest);
    rows.coefficients[l] = K == Coefficients::probabilities ? joined(sums.coefficients) : 0.0;
    rows.distance[l] = K != Coefficients::none ? joined(sums.distance) : 0.0;
  }
  for (int l = tile.rows; l < lanes; ++l) {
    rows.rest[l] = rows.coefficients[l] = rows.distance[l] = 0;
    rows.maxima[l] = 1;
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    finish<K, J>(references, rows, rows.rest[l], rows.maxima[l], tile.shared, l);
  }
  if constexpr (J != SoftmaxJob::value) {
    for (int l = 0; l < tile.rows; ++l) {
      if constexpr (is_product(J)) {
        rows.inner[l] = static_cast<T>(inner_product<J>(tile, l, rows.share[l]));
      }
      if constexpr (J == SoftmaxJob::gradient) {
        if (tile.curvature != nullptr) {
          curvature_row(tile, rows.emission(l), rows.rest[l], l);
        }
      }
      emit_row<K, J>(tile, rows.emission(l), l);
      write_label_slope<K, J>(tile, rows, l);
      if (tile.stream != nullptr) {
        const std::ptrdiff_t first = l * tile.output_row_stride;
        stream_numbers(tile.output + first, tile.stream + first, tile.classes);
      }
    }
    if (tile.stream != nullptr) {
      end_stream();
    }
  }
  write_losses<J>(tile, rows);
}

// ---- segments of one long row ----

template <Coefficients K, SoftmaxJob J, class T>
SegmentState fold_segment(const SoftmaxTile<T>& segment) {
  const SoftmaxReference<T> reference = softmax_reference(row_max(segment.input, segment.classes));
  RowSums<T> sums;
  const double maxima = fold_row<K, J>(segment, reference, 0, segment.classes, sums);
  const SoftmaxRow row = softmax_finish(reference, joined(sums.rest), maxima);
  SegmentState state{};
  state.max = static_cast<double>(reference.max);
  state.rest = math::abs(state.max) < math::infinity<double> ? row.rest : joined(sums.rest);
  state.share = static_cast<double>(reference.unscale) + static_cast<double>(reference.unscale_tail);
  if constexpr (K == Coefficients::probabilities) {
    state.coefficients = joined(sums.coefficients);
  } else if constexpr (K == Coefficients::shared) {
    for (std::ptrdiff_t c = 0; c < segment.classes; ++c) {
      state.coefficients += static_cast<double>(segment.per_class[c]);
    }
  }
  state.distance = K != Coefficients::none ? joined(sums.distance) : 0.0;
  return state;
}

template <SoftmaxJob J, class T>
double inner_segment(const SoftmaxTile<T>& segment, double share) {
  return inner_product<J>(segment, 0, static_cast<T>(share));
}

template <Coefficients K, SoftmaxJob J, class T>
void emit_segment(const SoftmaxTile<T>& segment, const SoftmaxRow& row, double share, double coefficients, double inner,
                  bool kept) {
  if constexpr (J != SoftmaxJob::value) {
    const Emission<T> emission{.coefficients = static_cast<T>(coefficients),
                               .share = static_cast<T>(share),
                               .max = static_cast<T>(row.max),
                               .log_total = static_cast<T>(row.log_total),
                               .scale = segment.scale == nullptr ? T(1) : segment.scale[0],
                               .inner = static_cast<T>(inner),
                               .kept = kept};
    if constexpr (J == SoftmaxJob::gradient) {
      if (segment.curvature != nullptr) {
        curvature_row(segment, emission, row.rest, 0);
      }
    }
    emit_row<K, J>(segment, emission, 0);
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

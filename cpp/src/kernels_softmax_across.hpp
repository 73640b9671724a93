/// Tiles of short rows: classes in order, lanes across the rows.
#pragma once

#include <cstddef>

#include "kernels_softmax_rows.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// `Count` classes of one row.
template <Coefficients K, SoftmaxJob J, int Count, class T>
NDLOSS_INLINE void observe_across(const SoftmaxTile<T>& tile, const ReferenceLanes<T>& references, std::ptrdiff_t c, int l,
                                  RowSums<T>& sums) {
  Front<T> front = sums.template front_of<J>(l);
  sums.template add<K>(l, observe<Direction::across, K, J, Count>(
                              tile, references.get(l), l, [c](int k) __attribute__((always_inline)) { return c + k; },
                              [](int /*k*/) __attribute__((always_inline)) { return true; }, front));
  sums.template set_front<J>(l, front);
}

/// The first class of one row, which leaves nothing behind.
template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void begin_across(const SoftmaxTile<T>& tile, const ReferenceLanes<T>& references, int l, RowSums<T>& sums) {
  Front<T> front{-math::infinity<T>, T(0)};
  RowTerms<T> terms = observe<Direction::across, K, J, 1>(
      tile, references.get(l), l, [](int /*k*/) __attribute__((always_inline)) { return std::ptrdiff_t{0}; },
      [](int /*k*/) __attribute__((always_inline)) { return true; }, front);
  terms.rest = Wide<T>{};
  sums.template add<K>(l, terms);
  sums.template set_front<J>(l, front);
}

template <SoftmaxJob J, class T>
NDLOSS_INLINE void inner_across(const SoftmaxTile<T>& tile, const RowLanes<T>& rows, std::ptrdiff_t c, int l,
                                TallyLanes<T>& inner) {
  Tally<T> sum = inner.get(l);
  const T g = tile.target[c * tile.target_class_stride + l];
  const T e = tile.output[c * tile.output_class_stride + l];
  sum.add(J == SoftmaxJob::softmax_vjp ? e * math::Real<T>::unbias * rows.share[l] * g : g);
  inner.set(l, sum);
}

/// Not inlined: the jobs share it.
template <class T>
[[gnu::noinline]] void curvature_across(const SoftmaxTile<T>& given, const RowLanes<T>& rows) {
  const SoftmaxTile<T> tile = given;
  T complement[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    complement[l] = static_cast<T>(rows.rest[l] / (1.0 + rows.rest[l]));
  }
  for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      emit_curvature<Direction::across>(tile, rows.emission(l), complement[l], c, l);
    }
  }
}

template <Coefficients K, SoftmaxJob J, class T>
void tile_across(const SoftmaxTile<T>& given) {
  constexpr Direction across = Direction::across;
  const SoftmaxTile<T> tile = given;
  LinesAhead ahead = given.ahead;
  ReferenceLanes<T> references;
  RowLanes<T> rows;
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    references.max[l] = tile.input[l];  // a NaN stays, and is not looked for again where the row begins
  }
  for (std::ptrdiff_t c = 1; c < tile.classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      const T x = tile.input[c * tile.class_stride + l];
      references.max[l] = x > references.max[l] ? x : references.max[l];
    }
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    references.derive(l);
  }
  read_rows<Direction::across, K, J>(tile, rows);  // before the exponentials, which may take the logits' place

  RowSums<T> sums;
  sums.template clear<K>();
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    begin_across<K, J>(tile, references, l, sums);
  }
  ahead.ask_classes<T>(1);
  std::ptrdiff_t c = 1;
  for (; c + run <= tile.classes; c += run) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, run>(tile, references, c, l, sums);
    }
    ahead.ask_classes<T>(run);
  }
  for (; c + 2 <= tile.classes; c += 2) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, 2>(tile, references, c, l, sums);
    }
    ahead.ask_classes<T>(2);
  }
  for (; c < tile.classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, 1>(tile, references, c, l, sums);
    }
    ahead.ask_classes<T>(1);
  }

  if constexpr (K != Coefficients::none) {
    for (int l = 0; l < lanes; ++l) {
      rows.coefficients[l] = K == Coefficients::probabilities ? sums.coefficients.at(l) : 0.0;
      rows.distance[l] = sums.distance.at(l);
    }
  }
  constexpr bool can_fold = folds_logarithms<T> && is_loss(J) && K == Coefficients::none;
  if constexpr (can_fold) {
    if (tile.folded != nullptr) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        finish<K, J, true>(references, rows, sums.rest.at(l), 1.0, tile.shared, l);
      }
      const int first = tile.folded_tile * tile_groups;
      fold_losses(rows, tile.folded->rest + first, tile.folded->distance + first);
    }
  }
  if (!can_fold || tile.folded == nullptr) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      finish<K, J>(references, rows, sums.rest.at(l), 1.0, tile.shared, l);
    }
  }

  if constexpr (is_product(J)) {
    TallyLanes<T> inner;
    for (c = 0; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        inner_across<J>(tile, rows, c, l, inner);
      }
    }
    for (int l = 0; l < lanes; ++l) {
      rows.inner[l] = math::joined(inner.head[l], inner.tail[l]);
    }
  }
  if constexpr (J == SoftmaxJob::gradient && K == Coefficients::probabilities) {
    for (c = 0; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        emit_target_gradients<across>(tile, rows.emission(l), c, l);
      }
    }
  }
  if constexpr (J == SoftmaxJob::gradient) {
    if (tile.curvature != nullptr) {
      curvature_across(tile, rows);
    }
  }
  if constexpr (J != SoftmaxJob::value) {
    for (c = 0; c < tile.classes; ++c) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        emit<across, K, J>(tile, rows.emission(l), c, l);
      }
    }
  }
  for (int l = 0; l < tile.rows; ++l) {
    write_label_slope<K, J>(tile, rows, l);
  }
  write_losses<J>(tile, rows);
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

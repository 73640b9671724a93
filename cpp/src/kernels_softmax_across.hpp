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
  const SoftmaxReference<T> reference = references.get(l);
  const auto one = [&](int k) __attribute__((always_inline)) {
    return observe<Direction::across, K, J>(tile, reference, c + k, l, true);
  };
  if constexpr (Count == 1) {
    sums.template add<K>(l, widened(one(0)));
  } else {
    sums.template add<K>(
        l, pairwise<Count / 2>([&](int k) __attribute__((always_inline)) { return widened(one(2 * k) + one(2 * k + 1)); }));
  }
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
  ReferenceLanes<T> references;
  RowLanes<T> rows;
  for (int l = 0; l < lanes; ++l) {
    references.max[l] = -math::infinity<T>;
  }
  for (std::ptrdiff_t c = 0; c < tile.classes; ++c) {
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
  read_rows<K>(tile, rows);  // before the exponentials, which may take the logits' place

  RowSums<T> sums;
  sums.template clear<K>();
  std::ptrdiff_t c = 0;
  for (; c + run <= tile.classes; c += run) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, run>(tile, references, c, l, sums);
    }
  }
  for (; c < tile.classes; ++c) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_across<K, J, 1>(tile, references, c, l, sums);
    }
  }

  for (int l = 0; l < lanes; ++l) {
    rows.rest[l] = sums.rest.at(l);
    rows.maxima[l] = sums.maxima.at(l);
    rows.coefficients[l] = K == Coefficients::probabilities ? sums.coefficients.at(l) : 0.0;
    rows.distance[l] = K != Coefficients::none ? sums.distance.at(l) : 0.0;
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    finish<K, J>(references, rows, tile.shared, l);
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
  write_rows<K, J>(tile, rows);
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

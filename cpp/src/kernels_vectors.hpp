/// Rows of vectors: features folded into the sums of a distance, losses of distances, gradients while the row is in cache.
///
/// All arithmetic is in double; sums of doubles are compensated besides. Long vectors run lanes along the row, short ones are
/// transposed and run lanes across rows: which of the two, and so the order of additions, depends on their length alone.
#pragma once

#include <cstddef>

#include "ndloss/inline.hpp"
#include "ndloss/losses/cosine_embedding.hpp"
#include "ndloss/losses/triplet_margin.hpp"
#include "ndloss/math.hpp"
#include "vector_tile.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Lanes along a row.
inline constexpr int row_lanes = 16;

/// The vectors of pair j.
constexpr int pair_x(int pair) { return pair == 2 ? 1 : 0; }
constexpr int pair_y(int pair) { return pair == 0 ? 1 : 2; }

constexpr int pairs_of(VectorJob job) { return job == VectorJob::triplet ? 2 : job == VectorJob::swapped_triplet ? 3 : 1; }
constexpr int vectors_of(VectorJob job) { return pairs_of(job) == 1 ? 2 : 3; }

/// One number of a fold in each lane.
template <int L>
struct Lane {
  double head[L];
  double tail[L];
};

/// What is added to a lane, and how two lanes join.
template <FoldKind kind, bool compensated>
struct Fold;

template <bool compensated>
struct Fold<FoldKind::sum, compensated> {
  template <int L, int Numbers>
  NDLOSS_INLINE static void clear(Lane<L>* lanes) {
    for (int s = 0; s < Numbers; ++s) {
#pragma omp simd
      for (int l = 0; l < L; ++l) {
        lanes[s].head[l] = 0;
        lanes[s].tail[l] = 0;
      }
    }
  }

  template <int S, int L, int Terms>
  NDLOSS_INLINE static void add_one(Lane<L>* lanes, int l, const FeatureTerms<Terms>& terms) {
    if constexpr (compensated) {
      const math::Pair<double> sum = math::two_sum(lanes[S].head[l], terms.term[S]);
      lanes[S].head[l] = sum.head;
      lanes[S].tail[l] += sum.tail;
    } else {
      lanes[S].head[l] += terms.term[S];
    }
  }

  template <int L, int Terms>
  NDLOSS_INLINE static void add(Lane<L>* lanes, int l, const FeatureTerms<Terms>& terms) {
    add_one<0>(lanes, l, terms);
    if constexpr (Terms > 1) {
      add_one<1>(lanes, l, terms);
    }
    if constexpr (Terms > 2) {
      add_one<2>(lanes, l, terms);
    }
  }

  template <int L, int Terms>
  NDLOSS_INLINE static void join(Lane<L>* lanes, int half) {
    for (int s = 0; s < Terms; ++s) {
#pragma omp simd
      for (int l = 0; l < half; ++l) {
        if constexpr (compensated) {
          const math::Pair<double> sum = math::two_sum(lanes[s].head[l], lanes[s].head[l + half]);
          lanes[s].head[l] = sum.head;
          lanes[s].tail[l] += lanes[s].tail[l + half] + sum.tail;
        } else {
          lanes[s].head[l] += lanes[s].head[l + half];
        }
      }
    }
  }

  template <int L>
  NDLOSS_INLINE static double result(const Lane<L>& lane, int l) {
    return compensated ? math::joined(lane.head[l], lane.tail[l]) : lane.head[l];
  }
};

/// The largest first term, and the sum of the second over those that equal it. NaN stays.
template <bool compensated>
struct Fold<FoldKind::extreme, compensated> {
  template <int L, int Numbers>
  NDLOSS_INLINE static void clear(Lane<L>* lanes) {
    for (int n = 0; n < Numbers; n += 2) {
#pragma omp simd
      for (int l = 0; l < L; ++l) {
        lanes[n].head[l] = -math::infinity<double>;
        lanes[n + 1].head[l] = 0;
      }
    }
  }

  template <int L, int Terms>
  NDLOSS_INLINE static void add(Lane<L>* lanes, int l, const FeatureTerms<Terms>& terms) {
    const double best = lanes[0].head[l];
    const double count = lanes[1].head[l];
    const double other = terms.term[0];
    const bool better = !(other <= best) & (best == best);
    const bool equal = other == best;
    lanes[0].head[l] = math::select(better, other, best);
    lanes[1].head[l] = math::select(better, terms.term[1], math::select(equal, count + terms.term[1], count));
  }

  template <int L, int Terms>
  NDLOSS_INLINE static void join(Lane<L>* lanes, int half) {
#pragma omp simd
    for (int l = 0; l < half; ++l) {
      add<L, 2>(lanes, l, {{lanes[0].head[l + half], lanes[1].head[l + half]}});
    }
  }

  template <int L>
  NDLOSS_INLINE static double result(const Lane<L>& lane, int l) {
    return lane.head[l];
  }
};

/// What a tile's folds have come to: by pair, term and row.
struct TileSums {
  double term[3][3][vector_tile_rows];
  double reference[3][vector_tile_rows];
};

/// Coefficients of slopes: by pair and row.
struct TileSlopes {
  double c0[3][vector_tile_rows];
  double c1[3][vector_tile_rows];
  double c2[3][vector_tile_rows];
};

template <class T, class D, int Pairs, int L>
NDLOSS_INLINE void observe_at(const D& distance, Lane<L>* lanes, int l, const T* a, const T* b, const T* c, std::ptrdiff_t i,
                              const double* r0, const double* r1, const double* r2, int r) {
  using F = Fold<D::fold, sizeof(T) == 8>;
  const double x = static_cast<double>(a[i]);
  const double y = static_cast<double>(b[i]);
  F::template add<L, D::terms>(lanes, l, distance.observe(x, y, D::needs_reference ? r0[r] : 0.0));
  if constexpr (Pairs > 1) {
    const double z = static_cast<double>(c[i]);
    F::template add<L, D::terms>(lanes + D::terms, l, distance.observe(x, z, D::needs_reference ? r1[r] : 0.0));
    if constexpr (Pairs > 2) {
      F::template add<L, D::terms>(lanes + 2 * D::terms, l, distance.observe(y, z, D::needs_reference ? r2[r] : 0.0));
    }
  }
}

/// Folds rows along their features, one row at a time.
template <class T, class D, int Pairs>
NDLOSS_INLINE void fold_along(const VectorTile<T>& tile, const D& distance, TileSums& sums) {
  using F = Fold<D::fold, sizeof(T) == 8>;
  constexpr int numbers = Pairs * D::terms;
  for (int r = 0; r < tile.rows; ++r) {
    const T* a = tile.operand[0] + r * tile.stride[0];
    const T* b = tile.operand[1] + r * tile.stride[1];
    const T* c = Pairs > 1 ? tile.operand[2] + r * tile.stride[2] : nullptr;
    const double* r0 = &sums.reference[0][r];
    const double* r1 = &sums.reference[1][r];
    const double* r2 = &sums.reference[2][r];
    Lane<row_lanes> lanes[numbers];
    F::template clear<row_lanes, numbers>(lanes);
    std::ptrdiff_t i = 0;
    for (; i + row_lanes <= tile.features; i += row_lanes) {
#pragma omp simd
      for (int l = 0; l < row_lanes; ++l) {
        observe_at<T, D, Pairs>(distance, lanes, l, a, b, c, i + l, r0, r1, r2, 0);
      }
    }
    const int rest = static_cast<int>(tile.features - i);
#pragma omp simd
    for (int l = 0; l < rest; ++l) {
      observe_at<T, D, Pairs>(distance, lanes, l, a, b, c, i + l, r0, r1, r2, 0);
    }
#pragma GCC unroll 4
    for (int half = row_lanes / 2; half > 0; half /= 2) {
      F::template join<row_lanes, D::terms>(lanes, half);
      if constexpr (Pairs > 1) {
        F::template join<row_lanes, D::terms>(lanes + D::terms, half);
      }
      if constexpr (Pairs > 2) {
        F::template join<row_lanes, D::terms>(lanes + 2 * D::terms, half);
      }
    }
    for (int n = 0; n < numbers; ++n) {
      sums.term[n / D::terms][n % D::terms][r] = F::result(lanes[n], 0);
    }
  }
}

/// A tile of short vectors with its features apart and its rows side by side.
template <class T>
struct Transposed {
  T vector[max_vectors][short_vector * vector_tile_rows];
};

template <class T>
NDLOSS_INLINE void transpose_in(const VectorTile<T>& tile, int vectors, Transposed<T>& to) {
  for (int k = 0; k < vectors; ++k) {
    for (int r = 0; r < vector_tile_rows; ++r) {
      // Lanes without a row repeat the first.
      const T* from = tile.operand[k] + (r < tile.rows ? r : 0) * tile.stride[k];
      for (std::ptrdiff_t i = 0; i < tile.features; ++i) {
        to.vector[k][i * vector_tile_rows + r] = from[i];
      }
    }
  }
}

/// Folds a transposed tile, one feature after the other.
template <class T, class D, int Pairs>
NDLOSS_INLINE void fold_across(const Transposed<T>& tile, std::ptrdiff_t features, const D& distance, TileSums& sums) {
  using F = Fold<D::fold, sizeof(T) == 8>;
  constexpr int numbers = Pairs * D::terms;
  Lane<vector_tile_rows> lanes[numbers];
  F::template clear<vector_tile_rows, numbers>(lanes);
  for (std::ptrdiff_t i = 0; i < features; ++i) {
    const T* a = tile.vector[0] + i * vector_tile_rows;
    const T* b = tile.vector[1] + i * vector_tile_rows;
    const T* c = tile.vector[2] + i * vector_tile_rows;
#pragma omp simd
    for (int l = 0; l < vector_tile_rows; ++l) {
      observe_at<T, D, Pairs>(distance, lanes, l, a, b, c, l, sums.reference[0], sums.reference[1], sums.reference[2], l);
    }
  }
  for (int n = 0; n < numbers; ++n) {
#pragma omp simd
    for (int l = 0; l < vector_tile_rows; ++l) {
      sums.term[n / D::terms][n % D::terms][l] = F::result(lanes[n], l);
    }
  }
}

/// Whether lanes run across rows. Powers never do: what they cost leaves nothing to gain, and their code is large.
template <bool powers, class T>
NDLOSS_INLINE bool runs_across(const VectorTile<T>& tile) {
  return !powers && tile.features < short_vector;
}

template <bool powers, class T, class D, int Pairs>
NDLOSS_INLINE void fold_tile(const VectorTile<T>& tile, const Transposed<T>& transposed, const D& distance, TileSums& sums) {
  if (runs_across<powers>(tile)) {
    fold_across<T, D, Pairs>(transposed, tile.features, distance, sums);
  } else {
    fold_along<T, D, Pairs>(tile, distance, sums);
  }
}

/// What a pair's distance is relative to, if to anything: the extreme of its features.
template <int Pairs>
NDLOSS_INLINE void set_references(const VectorParameters& with, TileSums& sums) {
  const ExtremeDistance extreme{with.distance};
  for (int j = 0; j < Pairs; ++j) {
#pragma omp simd
    for (int l = 0; l < vector_tile_rows; ++l) {
      sums.reference[j][l] = extreme.value({{sums.term[j][0][l], sums.term[j][1][l]}}, 0.0);
    }
  }
}

template <class D>
NDLOSS_INLINE FeatureTerms<D::terms> terms_of(const TileSums& sums, int pair, int l) {
  FeatureTerms<D::terms> terms;
  terms.term[0] = sums.term[pair][0][l];
  if constexpr (D::terms > 1) {
    terms.term[1] = sums.term[pair][1][l];
  }
  if constexpr (D::terms > 2) {
    terms.term[2] = sums.term[pair][2][l];
  }
  return terms;
}

template <class D>
NDLOSS_INLINE double distance_of(const D& distance, const TileSums& sums, int pair, int l) {
  return distance.value(terms_of<D>(sums, pair, l), sums.reference[pair][l]);
}

/// A loss and its derivatives by the distances of its pairs.
struct RowLoss {
  double value;
  double by0;
  double by1;
  double by2;
};

template <VectorJob job, class D>
NDLOSS_INLINE RowLoss loss_of(const D& distance, const TileSums& sums, const VectorParameters& with, double label, int l) {
  const double first = distance_of(distance, sums, 0, l);
  if constexpr (job == VectorJob::distance) {
    return {first, 1.0, 0.0, 0.0};
  } else if constexpr (job == VectorJob::cosine_embedding) {
    const CosineEmbeddingLoss loss{with.margin};
    return {loss.value(first, label), loss.slope(first, label), 0.0, 0.0};
  } else {
    const double second = distance_of(distance, sums, 1, l);
    const double third = job == VectorJob::swapped_triplet ? distance_of(distance, sums, 2, l) : 0.0;
    const bool swap = job == VectorJob::swapped_triplet && with.swap;
    const TripletOfDistances found = TripletMarginLoss::of(with.margin, swap, first, second, third);
    return {found.value, found.by_positive, found.by_negative, found.by_swapped};
  }
}

template <class D>
NDLOSS_INLINE void put_slopes(const D& distance, const TileSums& sums, int pair, int l, double factor, TileSlopes& slopes) {
  const FoundDistance found = distance.finish(terms_of<D>(sums, pair, l), sums.reference[pair][l], factor);
  slopes.c0[pair][l] = found.coefficient[0];
  slopes.c1[pair][l] = found.coefficient[1];
  slopes.c2[pair][l] = found.coefficient[2];
}

template <VectorJob job, bool gradient, class D>
NDLOSS_INLINE void finish_row(const D& distance, const TileSums& sums, const VectorParameters& with, double label, double scale,
                              int l, double* value, TileSlopes& slopes) {
  const RowLoss loss = loss_of<job>(distance, sums, with, label, l);
  value[l] = loss.value;
  if constexpr (gradient) {
    put_slopes(distance, sums, 0, l, loss.by0 * scale, slopes);
    if constexpr (pairs_of(job) > 1) {
      put_slopes(distance, sums, 1, l, loss.by1 * scale, slopes);
    }
    if constexpr (pairs_of(job) > 2) {
      put_slopes(distance, sums, 2, l, loss.by2 * scale, slopes);
      // Without swap this pair is no part of the loss, whatever its distance is: infinite vectors make it NaN.
      slopes.c0[2][l] = math::select(with.swap, slopes.c0[2][l], 0.0);
      slopes.c1[2][l] = math::select(with.swap, slopes.c1[2][l], 0.0);
      slopes.c2[2][l] = math::select(with.swap, slopes.c2[2][l], 0.0);
    }
  }
}

/// The derivative for one feature of vector k.
template <VectorJob job, int k, class T, class D>
NDLOSS_INLINE T slope_at(const D& distance, const TileSlopes& s, int r, const T* a, const T* b, const T* c, std::ptrdiff_t i) {
  const double x = static_cast<double>(a[i]);
  const double y = static_cast<double>(b[i]);
  if constexpr (pairs_of(job) == 1) {
    return static_cast<T>(k == 0 ? distance.slope_x(x, y, s.c0[0][r], s.c1[0][r], s.c2[0][r])
                                 : distance.slope_y(x, y, s.c0[0][r], s.c1[0][r], s.c2[0][r]));
  } else {
    const double z = static_cast<double>(c[i]);
    constexpr bool swapped = pairs_of(job) == 3;
    if constexpr (k == 0) {
      return static_cast<T>(distance.slope_x(x, y, s.c0[0][r], s.c1[0][r], s.c2[0][r]) +
                            distance.slope_x(x, z, s.c0[1][r], s.c1[1][r], s.c2[1][r]));
    } else if constexpr (k == 1) {
      const double own = distance.slope_y(x, y, s.c0[0][r], s.c1[0][r], s.c2[0][r]);
      if constexpr (swapped) {
        return static_cast<T>(own + distance.slope_x(y, z, s.c0[2][r], s.c1[2][r], s.c2[2][r]));
      } else {
        return static_cast<T>(own);
      }
    } else {
      const double own = distance.slope_y(x, z, s.c0[1][r], s.c1[1][r], s.c2[1][r]);
      if constexpr (swapped) {
        return static_cast<T>(own + distance.slope_y(y, z, s.c0[2][r], s.c1[2][r], s.c2[2][r]));
      } else {
        return static_cast<T>(own);
      }
    }
  }
}

template <VectorJob job, int k, class T, class D>
NDLOSS_INLINE void emit_one(const VectorTile<T>& tile, const Transposed<T>& transposed, const D& distance,
                            const TileSlopes& slopes) {
  if (tile.grad[k] == nullptr) {
    return;
  }
  if (!runs_across<D::needs_reference>(tile)) {
    for (int r = 0; r < tile.rows; ++r) {
      const T* a = tile.operand[0] + r * tile.stride[0];
      const T* b = tile.operand[1] + r * tile.stride[1];
      const T* c = vectors_of(job) > 2 ? tile.operand[2] + r * tile.stride[2] : nullptr;
      T* to = tile.grad[k] + r * tile.grad_stride[k];
#pragma omp simd
      for (std::ptrdiff_t i = 0; i < tile.features; ++i) {
        to[i] = slope_at<job, k>(distance, slopes, r, a, b, c, i);
      }
    }
    return;
  }
  T lines[short_vector * vector_tile_rows];
  for (std::ptrdiff_t i = 0; i < tile.features; ++i) {
    const T* a = transposed.vector[0] + i * vector_tile_rows;
    const T* b = transposed.vector[1] + i * vector_tile_rows;
    const T* c = transposed.vector[2] + i * vector_tile_rows;
    T* to = lines + i * vector_tile_rows;
#pragma omp simd
    for (int l = 0; l < vector_tile_rows; ++l) {
      to[l] = slope_at<job, k>(distance, slopes, l, a, b, c, l);
    }
  }
  for (int r = 0; r < tile.rows; ++r) {
    T* to = tile.grad[k] + r * tile.grad_stride[k];
    for (std::ptrdiff_t i = 0; i < tile.features; ++i) {
      to[i] = lines[i * vector_tile_rows + r];
    }
  }
}

template <class T, VectorJob job, class D, bool gradient>
void run_tile(const VectorTile<T>& tile, const VectorParameters& with) {
  constexpr int pairs = pairs_of(job);
  const D distance{{with.distance}};
  constexpr bool powers = D::needs_reference;
  Transposed<T> transposed;
  if (runs_across<powers>(tile)) {
    transpose_in(tile, vectors_of(job), transposed);
  }
  TileSums sums;
  if constexpr (D::needs_reference) {
    fold_tile<powers, T, ExtremeDistance, pairs>(tile, transposed, ExtremeDistance{with.distance}, sums);
    set_references<pairs>(with, sums);
  }
  fold_tile<powers, T, D, pairs>(tile, transposed, distance, sums);
  TileSlopes slopes;
#pragma omp simd
  for (int l = 0; l < vector_tile_rows; ++l) {
    finish_row<job, gradient>(distance, sums, with, job == VectorJob::cosine_embedding ? tile.label[l] : 0.0,
                              gradient ? tile.scale[l] : 0.0, l, tile.value, slopes);
  }
  if constexpr (gradient) {
    emit_one<job, 0>(tile, transposed, distance, slopes);
    emit_one<job, 1>(tile, transposed, distance, slopes);
    if constexpr (vectors_of(job) > 2) {
      emit_one<job, 2>(tile, transposed, distance, slopes);
    }
  }
}

template <class T, VectorJob job, class D>
constexpr VectorKernels<T> vector_kernels() {
  return {run_tile<T, job, D, false>, run_tile<T, job, D, true>};
}

/// Without swap only the Euclidean distance has kernels of its own: the others run the swapped one, told not to. What is rare
/// and large has none for float: the driver takes the one for double.
template <class T>
constexpr VectorTable<T> vector_table() {
  VectorTable<T> table{};
  constexpr bool complete = sizeof(T) == 8;
  auto& distance = table.kernels[static_cast<int>(VectorJob::distance)];
  distance[static_cast<int>(DistanceKind::manhattan)] = vector_kernels<T, VectorJob::distance, ManhattanDistance>();
  distance[static_cast<int>(DistanceKind::euclidean)] = vector_kernels<T, VectorJob::distance, EuclideanDistance>();
  distance[static_cast<int>(DistanceKind::cosine)] = vector_kernels<T, VectorJob::distance, CosineSimilarity>();
  auto& swapped = table.kernels[static_cast<int>(VectorJob::swapped_triplet)];
  swapped[static_cast<int>(DistanceKind::manhattan)] = vector_kernels<T, VectorJob::swapped_triplet, ManhattanDistance>();
  swapped[static_cast<int>(DistanceKind::euclidean)] = vector_kernels<T, VectorJob::swapped_triplet, EuclideanDistance>();
  if constexpr (complete) {
    distance[static_cast<int>(DistanceKind::extreme)] = vector_kernels<T, VectorJob::distance, ExtremeDistance>();
    distance[static_cast<int>(DistanceKind::power)] = vector_kernels<T, VectorJob::distance, PowerDistance>();
    swapped[static_cast<int>(DistanceKind::extreme)] = vector_kernels<T, VectorJob::swapped_triplet, ExtremeDistance>();
    swapped[static_cast<int>(DistanceKind::power)] = vector_kernels<T, VectorJob::swapped_triplet, PowerDistance>();
    swapped[static_cast<int>(DistanceKind::cosine)] = vector_kernels<T, VectorJob::swapped_triplet, CosineDistance>();
  }
  auto& triplet = table.kernels[static_cast<int>(VectorJob::triplet)];
  for (int kind = 0; kind < distance_kinds; ++kind) {
    triplet[kind] = swapped[kind];
  }
  triplet[static_cast<int>(DistanceKind::euclidean)] = vector_kernels<T, VectorJob::triplet, EuclideanDistance>();
  table.kernels[static_cast<int>(VectorJob::cosine_embedding)][static_cast<int>(DistanceKind::embedding_cosine)] =
      vector_kernels<T, VectorJob::cosine_embedding, EmbeddingCosine>();
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

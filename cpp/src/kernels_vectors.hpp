/// Rows of vectors: losses of distances, and gradients while the row is in cache.
#pragma once

#include <cstddef>

#include "kernels_vector_folds.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/losses/cosine_embedding.hpp"
#include "ndloss/losses/triplet_margin.hpp"
#include "ndloss/math.hpp"
#include "vector_tile.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

constexpr int pairs_of(VectorJob job) { return job == VectorJob::triplet ? 2 : job == VectorJob::swapped_triplet ? 3 : 1; }
constexpr int vectors_of(VectorJob job) { return pairs_of(job) == 1 ? 2 : 3; }

/// Coefficients of slopes: by pair and row.
struct TileSlopes {
  double c0[3][vector_tile_rows];
  double c1[3][vector_tile_rows];
  double c2[3][vector_tile_rows];
};

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

/// Features of a row that are built in L1 before they are streamed.
inline constexpr std::ptrdiff_t streamed_features = 512;

/// Asks for the lines from `from` to `end` to write to them.
template <class T>
NDLOSS_INLINE void prefetch_to_write(const T* from, const T* end) {
  for (; from < end; from += line_numbers<T>) {
    __builtin_prefetch(from, 1);
  }
}

template <VectorJob job, int k, class T, class D>
NDLOSS_INLINE void emit_one(const VectorTile<T>& tile, const Transposed<T>& transposed, const D& distance,
                            const TileSlopes& slopes) {
  if (tile.grad[k] == nullptr) {
    return;
  }
  const bool streams = streaming_stores && tile.streams;
  // Lines are fetched before they are written: stores that wait for theirs hold up everything behind them.
  const T* ahead = tile.grad[k] + rows_ahead(tile) * tile.grad_stride[k];
  if (!runs_across<D::needs_reference>(tile)) {
    alignas(stream_alignment) T room[streamed_features + line_numbers<T>];
    const std::ptrdiff_t together = streams && tile.features > streamed_features ? streamed_features : tile.features;
    for (int r = 0; r < tile.rows; ++r) {
      const T* a = tile.operand[0] + r * tile.stride[0];
      const T* b = tile.operand[1] + r * tile.stride[1];
      const T* c = vectors_of(job) > 2 ? tile.operand[2] + r * tile.stride[2] : nullptr;
      const std::ptrdiff_t row = r * tile.grad_stride[k];
      if (!streams) {
        prefetch_to_write(ahead + row, ahead + row + tile.features);
      }
      for (std::ptrdiff_t first = 0; first < tile.features; first += together) {
        const std::ptrdiff_t end = first + together < tile.features ? first + together : tile.features;
        T* const to = tile.grad[k] + row + first;
        T* const built = streams ? alike(room, to) : to;
#pragma omp simd
        for (std::ptrdiff_t i = first; i < end; ++i) {
          built[i - first] = slope_at<job, k>(distance, slopes, r, a, b, c, i);
        }
        if (streams) {
          stream_numbers(built, to, end - first);
        }
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
    prefetch_to_write(ahead + i * vector_tile_rows, ahead + (i + 1) * vector_tile_rows);
#pragma omp simd
    for (int l = 0; l < vector_tile_rows; ++l) {
      to[l] = slope_at<job, k>(distance, slopes, l, a, b, c, l);
    }
  }
  if (tile.rows == vector_tile_rows) {
    transpose_back(lines, tile.features, tile.grad[k], tile.grad_stride[k]);
    return;
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

/// Any number of rows, tile by tile.
template <class T, VectorJob job, class D, bool gradient>
void run_rows(const VectorTile<T>& given, const VectorParameters& with) {
  VectorTile<T> tile = given;
  for (int left = given.rows; left > 0; left -= vector_tile_rows) {
    tile.rows = left < vector_tile_rows ? left : vector_tile_rows;
    run_tile<T, job, D, gradient>(tile, with);
    for (int k = 0; k < vectors_of(job); ++k) {
      tile.operand[k] += vector_tile_rows * tile.stride[k];
      if (gradient && tile.grad[k] != nullptr) {
        tile.grad[k] += vector_tile_rows * tile.grad_stride[k];
      }
    }
    tile.value += vector_tile_rows;
    tile.label += job == VectorJob::cosine_embedding ? vector_tile_rows : 0;
    tile.scale += gradient ? vector_tile_rows : 0;
  }
  if (streaming_stores && gradient && tile.streams) {
    end_stream();
  }
}

NDLOSS_INLINE void add_loss(LossSums& sums, std::int64_t lane, double loss) {
  const math::Pair<double> sum = math::two_sum(sums.heads[lane], loss);
  sums.heads[lane] = sum.head;
  sums.tails[lane] += sum.tail;
}

LossSums sum_losses(const double* losses, std::int64_t count) {
  LossSums sums{};
  std::int64_t i = 0;
  for (; i + loss_lanes <= count; i += loss_lanes) {
#pragma omp simd
    for (std::int64_t k = 0; k < loss_lanes; ++k) {
      add_loss(sums, k, losses[i + k]);
    }
  }
  for (std::int64_t k = 0; i + k < count; ++k) {
    add_loss(sums, k, losses[i + k]);
  }
  return sums;
}

template <class T, VectorJob job, class D>
constexpr VectorKernels<T> vector_kernels() {
  return {run_rows<T, job, D, false>, run_rows<T, job, D, true>};
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
      vector_kernels<T, VectorJob::cosine_embedding, EmbeddingCosine<T>>();
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// Folding a tile of vectors: the terms of every feature into the sums that a distance is made of.
///
/// All arithmetic is in double; sums of doubles are compensated besides. Long vectors run lanes along the row, and so do those
/// that are just one step of the lanes; other short ones are transposed and run lanes across rows: which of the two, and so
/// the order of additions, depends on their length alone.
#pragma once

#include <cstddef>

#include "kernels_transpose.hpp"
#include "ndloss/distances.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"
#include "ndloss/prefetch.hpp"
#include "vector_tile.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Lanes of a fold, along a row or across rows.
inline constexpr int fold_lanes = 16;

/// Lanes of a row that are left to be joined once the whole tile is folded, rows side by side.
template <class F>
inline constexpr int kept_lanes = F::has_tail ? 2 : 4;

/// Two numbers of a fold in each lane.
template <int L>
struct Lane {
  double head[L];
  double tail[L];
};

/// What a lane starts from, how a feature enters it, how two lanes join, and which terms it gives.
template <FoldKind kind, bool compensated>
struct Fold;

/// A lane for each term: the sum, and what its roundings lost.
template <bool compensated>
struct Fold<FoldKind::sum, compensated> {
  static constexpr double start = 0.0;
  static constexpr bool has_tail = compensated;
  static constexpr int lanes(int terms) { return terms; }

  template <int S, class Terms>
  NDLOSS_INLINE static math::Pair<double> begin(const Terms& terms) {
    return {static_cast<double>(terms.term[S]), 0.0};
  }

  template <int S, class Terms>
  NDLOSS_INLINE static math::Pair<double> add(math::Pair<double> lane, const Terms& terms) {
    if constexpr (compensated) {
      const math::Pair<double> sum = math::two_sum(lane.head, static_cast<double>(terms.term[S]));
      return {sum.head, lane.tail + sum.tail};
    } else {
      return {plus(lane.head, terms.term[S]), 0.0};
    }
  }

  NDLOSS_INLINE static math::Pair<double> join(math::Pair<double> a, math::Pair<double> b) {
    if constexpr (compensated) {
      const math::Pair<double> sum = math::two_sum(a.head, b.head);
      return {sum.head, a.tail + (b.tail + sum.tail)};
    } else {
      return {a.head + b.head, 0.0};
    }
  }

  template <int S, class Terms>
  NDLOSS_INLINE static void put(math::Pair<double> lane, Terms& terms, int r) {
    terms[S][r] = compensated ? math::joined(lane.head, lane.tail) : lane.head + start;
  }
};

/// One lane: the largest first term, and the sum of the second over those that equal it. NaN stays.
template <bool compensated>
struct Fold<FoldKind::extreme, compensated> {
  static constexpr double start = -math::infinity<double>;
  static constexpr bool has_tail = true;
  static constexpr int lanes(int /*terms*/) { return 1; }

  template <int S>
  NDLOSS_INLINE static math::Pair<double> begin(const FeatureTerms<2>& terms) {
    return {terms.term[0], terms.term[1]};
  }

  template <int S>
  NDLOSS_INLINE static math::Pair<double> add(math::Pair<double> lane, const FeatureTerms<2>& terms) {
    return join(lane, {terms.term[0], terms.term[1]});
  }

  NDLOSS_INLINE static math::Pair<double> join(math::Pair<double> best, math::Pair<double> other) {
    const bool better = !(other.head <= best.head) & (best.head == best.head);
    const bool equal = other.head == best.head;
    return {math::select(better, other.head, best.head),
            math::select(better, other.tail, math::select(equal, best.tail + other.tail, best.tail))};
  }

  template <int S, class Terms>
  NDLOSS_INLINE static void put(math::Pair<double> lane, Terms& terms, int r) {
    terms[0][r] = lane.head;
    terms[1][r] = lane.tail;
  }
};

template <class F, int L>
NDLOSS_INLINE math::Pair<double> get(const Lane<L>& lane, int l) {
  return {lane.head[l], F::has_tail ? lane.tail[l] : 0.0};
}

template <class F, int L>
NDLOSS_INLINE void set(Lane<L>& lane, int l, math::Pair<double> to) {
  lane.head[l] = to.head;
  if constexpr (F::has_tail) {
    lane.tail[l] = to.tail;
  }
}

template <class F, int Lanes, int L>
NDLOSS_INLINE void clear(Lane<L>* lanes) {
  for (int n = 0; n < Lanes; ++n) {
#pragma GCC unroll 16
    for (int l = 0; l < L; ++l) {
      set<F>(lanes[n], l, {F::start, 0.0});
    }
  }
}

/// What a tile's folds have come to: by pair, term and row.
struct TileSums {
  double term[3][3][vector_tile_rows];
  double reference[3][vector_tile_rows];
};

/// A lane once a feature's terms have entered it; the first ones stand for its start, which `put` makes good.
template <class F, bool first, int S, int L, class Terms>
NDLOSS_INLINE math::Pair<double> entered(const Lane<L>& lane, int l, const Terms& terms) {
  if constexpr (first) {
    return F::template begin<S>(terms);
  } else {
    return F::template add<S>(get<F>(lane, l), terms);
  }
}

template <class F, bool first, class D, int L>
NDLOSS_INLINE void observe_pair(const D& distance, Lane<L>* lanes, int l, double x, double y, double reference) {
  const auto terms = distance.observe(x, y, reference);
  set<F>(lanes[0], l, entered<F, first, 0>(lanes[0], l, terms));
  if constexpr (F::lanes(D::terms) > 1) {
    set<F>(lanes[1], l, entered<F, first, 1>(lanes[1], l, terms));
  }
  if constexpr (F::lanes(D::terms) > 2) {
    set<F>(lanes[2], l, entered<F, first, 2>(lanes[2], l, terms));
  }
}

/// Feature i of the vectors of row r enters lane l.
template <class F, bool first, class T, class D, int Pairs, int L>
NDLOSS_INLINE void observe_at(const D& distance, Lane<L>* lanes, int l, const T* a, const T* b, const T* c, std::ptrdiff_t i,
                              const TileSums& sums, int r) {
  constexpr int each = F::lanes(D::terms);
  const double x = static_cast<double>(a[i]);
  const double y = static_cast<double>(b[i]);
  observe_pair<F, first>(distance, lanes, l, x, y, D::needs_reference ? sums.reference[0][r] : 0.0);
  if constexpr (Pairs > 1) {
    const double z = static_cast<double>(c[i]);
    observe_pair<F, first>(distance, lanes + each, l, x, z, D::needs_reference ? sums.reference[1][r] : 0.0);
    if constexpr (Pairs > 2) {
      observe_pair<F, first>(distance, lanes + 2 * each, l, y, z, D::needs_reference ? sums.reference[2][r] : 0.0);
    }
  }
}

/// How many rows ahead memory is asked for.
template <class T>
NDLOSS_INLINE std::ptrdiff_t rows_ahead(const VectorTile<T>& tile) {
  const std::ptrdiff_t bytes = tile.features * static_cast<std::ptrdiff_t>(sizeof(T));
  return bytes < vector_bytes_ahead ? vector_bytes_ahead / (bytes > 0 ? bytes : 1) : 1;
}

/// Where the vectors of rows begin that memory is asked for while a tile is folded.
template <class T, int Pairs>
struct Ahead {
  static constexpr int vectors = Pairs > 1 ? 3 : 2;
  const T* from[vectors];
  std::ptrdiff_t stride[vectors];

  NDLOSS_INLINE explicit Ahead(const VectorTile<T>& tile) {
    const std::ptrdiff_t rows = rows_ahead(tile);
    for (int k = 0; k < vectors; ++k) {
      from[k] = tile.operand[k] + rows * tile.stride[k];
      stride[k] = tile.stride[k];
    }
  }

  /// Asks for as many numbers of every vector as fold_lanes lanes take, for row r.
  NDLOSS_INLINE void prefetch(std::ptrdiff_t r, std::ptrdiff_t at) const {
    for (int k = 0; k < vectors; ++k) {
#pragma GCC unroll 2
      for (int l = 0; l < fold_lanes; l += line_numbers<T>) {
        ndloss::prefetch(from[k] + r * stride[k] + at + l);
      }
    }
  }
};

/// Joins the lanes of a row until kept_lanes are left, and keeps these.
template <class F, int L>
NDLOSS_INLINE void join_along(Lane<L>& lane, int r, Lane<kept_lanes<F> * vector_tile_rows>& kept) {
#pragma GCC unroll 4
  for (int half = L / 2; half > kept_lanes<F>; half /= 2) {
#pragma omp simd
    for (int l = 0; l < half; ++l) {
      set<F>(lane, l, F::join(get<F>(lane, l), get<F>(lane, l + half)));
    }
  }
#pragma omp simd
  for (int l = 0; l < kept_lanes<F>; ++l) {
    set<F>(kept, kept_lanes<F> * r + l, F::join(get<F>(lane, l), get<F>(lane, l + kept_lanes<F>)));
  }
}

/// The last joins of every row.
template <class F>
NDLOSS_INLINE void join_kept(const Lane<kept_lanes<F> * vector_tile_rows>& kept, Lane<vector_tile_rows>& joined) {
#pragma omp simd
  for (int r = 0; r < vector_tile_rows; ++r) {
    const int first = kept_lanes<F> * r;
    if constexpr (kept_lanes<F> == 2) {
      set<F>(joined, r, F::join(get<F>(kept, first), get<F>(kept, first + 1)));
    } else {
      const math::Pair<double> even = F::join(get<F>(kept, first), get<F>(kept, first + 2));
      const math::Pair<double> odd = F::join(get<F>(kept, first + 1), get<F>(kept, first + 3));
      set<F>(joined, r, F::join(even, odd));
    }
  }
}

/// The terms of a pair, of rows side by side in `lanes` from row `first` on.
template <class F, int Lanes, int L>
NDLOSS_INLINE void put_terms(const Lane<L>* lanes, int first, double (&terms)[3][vector_tile_rows]) {
#pragma omp simd
  for (int l = 0; l < L; ++l) {
    F::template put<0>(get<F>(lanes[0], l), terms, first + l);
    if constexpr (Lanes > 1) {
      F::template put<1>(get<F>(lanes[1], l), terms, first + l);
    }
    if constexpr (Lanes > 2) {
      F::template put<2>(get<F>(lanes[2], l), terms, first + l);
    }
  }
}

/// As many numbers as there are lanes, in double: gcc takes fewer floats than that for halves of the widest vectors.
template <class T>
NDLOSS_INLINE void widen(const T* from, double (&to)[fold_lanes]) {
#pragma omp simd
  for (int l = 0; l < fold_lanes; ++l) {
    to[l] = static_cast<double>(from[l]);
  }
}

/// Folds rows along their features, one row at a time. `one_step`: they have as many features as there are lanes.
template <bool one_step, class T, class D, int Pairs>
NDLOSS_INLINE void fold_along(const VectorTile<T>& tile, const D& distance, TileSums& sums) {
  using F = Fold<D::fold, sizeof(T) == 8>;
  constexpr int each = F::lanes(D::terms);
  Lane<kept_lanes<F> * vector_tile_rows> kept[Pairs * each];
  const Ahead<T, Pairs> ahead(tile);
  for (int r = 0; r < tile.rows; ++r) {
    const T* a = tile.operand[0] + r * tile.stride[0];
    const T* b = tile.operand[1] + r * tile.stride[1];
    const T* c = Pairs > 1 ? tile.operand[2] + r * tile.stride[2] : nullptr;
    Lane<one_step ? fold_lanes / 2 : fold_lanes> lanes[Pairs * each];
    if constexpr (one_step) {
      constexpr int half = fold_lanes / 2;
      double wide[max_vectors][fold_lanes];
      ahead.prefetch(r, 0);
      widen(a, wide[0]);
      widen(b, wide[1]);
      if constexpr (Pairs > 1) {
        widen(c, wide[2]);
      }
#pragma omp simd
      for (int l = 0; l < half; ++l) {
        observe_at<F, true, double, D, Pairs>(distance, lanes, l, wide[0], wide[1], wide[2], l, sums, r);
        observe_at<F, false, double, D, Pairs>(distance, lanes, l, wide[0], wide[1], wide[2], l + half, sums, r);
      }
    } else {
      clear<F, Pairs * each>(lanes);
      std::ptrdiff_t i = 0;
      for (; i + fold_lanes <= tile.features; i += fold_lanes) {
        ahead.prefetch(r, i);
#pragma omp simd
        for (int l = 0; l < fold_lanes; ++l) {
          observe_at<F, false, T, D, Pairs>(distance, lanes, l, a, b, c, i + l, sums, r);
        }
      }
      const int rest = static_cast<int>(tile.features - i);
#pragma omp simd
      for (int l = 0; l < rest; ++l) {
        observe_at<F, false, T, D, Pairs>(distance, lanes, l, a, b, c, i + l, sums, r);
      }
    }
    for (int n = 0; n < Pairs * each; ++n) {
      join_along<F>(lanes[n], r, kept[n]);
    }
  }
  for (int j = 0; j < Pairs; ++j) {
    Lane<vector_tile_rows> joined[each];
    for (int n = 0; n < each; ++n) {
      join_kept<F>(kept[j * each + n], joined[n]);
    }
    put_terms<F, each>(joined, 0, sums.term[j]);
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
    if (tile.rows == vector_tile_rows) {
      transpose(tile.operand[k], tile.stride[k], tile.features, to.vector[k], vector_tile_rows);
      continue;
    }
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
NDLOSS_INLINE void fold_across(const VectorTile<T>& given, const Transposed<T>& tile, const D& distance, TileSums& sums) {
  const std::ptrdiff_t features = given.features;
  using F = Fold<D::fold, sizeof(T) == 8>;
  constexpr int each = F::lanes(D::terms);
  const Ahead<T, Pairs> ahead(given);
  for (int first = 0; first < vector_tile_rows; first += fold_lanes) {
    Lane<fold_lanes> lanes[Pairs * each];
    clear<F, Pairs * each>(lanes);
    for (std::ptrdiff_t i = 0; i < features; ++i) {
      const T* a = tile.vector[0] + i * vector_tile_rows + first;
      const T* b = tile.vector[1] + i * vector_tile_rows + first;
      const T* c = tile.vector[2] + i * vector_tile_rows + first;
      ahead.prefetch(0, first * features + i * fold_lanes);  // all of a tile that stands side by side
#pragma omp simd
      for (int l = 0; l < fold_lanes; ++l) {
        observe_at<F, false, T, D, Pairs>(distance, lanes, l, a, b, c, l, sums, first + l);
      }
    }
    for (int j = 0; j < Pairs; ++j) {
      put_terms<F, each>(lanes + j * each, first, sums.term[j]);
    }
  }
}

/// Whether a row is one step of lanes along it.
template <bool powers, class T>
NDLOSS_INLINE bool runs_in_one_step(const VectorTile<T>& tile) {
  return !powers && tile.features == fold_lanes;
}

/// Whether lanes run across rows. Powers never do: what they cost leaves nothing to gain, and their code is large.
template <bool powers, class T>
NDLOSS_INLINE bool runs_across(const VectorTile<T>& tile) {
  return !powers && tile.features < short_vector && tile.features != fold_lanes;
}

/// Not inlined: value and gradient share it.
template <bool powers, class T, class D, int Pairs>
[[gnu::noinline]] void fold_tile(const VectorTile<T>& tile, const Transposed<T>& transposed, const D& distance,
                                 TileSums& sums) {
  if (runs_across<powers>(tile)) {
    fold_across<T, D, Pairs>(tile, transposed, distance, sums);
  } else if (runs_in_one_step<powers>(tile)) {
    fold_along<true, T, D, Pairs>(tile, distance, sums);
  } else {
    fold_along<false, T, D, Pairs>(tile, distance, sums);
  }
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// What one class of one row adds, and how a row is finished: the part of the softmax kernels that both directions share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/lanes.hpp"
#include "ndloss/losses/cross_entropy.hpp"
#include "ndloss/softmax.hpp"
#include "softmax_tile.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

static_assert(tile_rows == lanes);

enum class Direction : std::uint8_t { across, along };

constexpr bool is_loss(SoftmaxJob job) { return job == SoftmaxJob::value || job == SoftmaxJob::gradient; }

constexpr bool is_product(SoftmaxJob job) { return job == SoftmaxJob::softmax_vjp || job == SoftmaxJob::log_softmax_vjp; }

/// Whether a job keeps the exponentials in its output until the row is finished.
constexpr bool stores(SoftmaxJob job) { return job != SoftmaxJob::value && job != SoftmaxJob::log_softmax; }

/// The job whose sums over a row are those of `job`: only whether exponentials are stored makes a difference to them.
constexpr SoftmaxJob summed_as(SoftmaxJob job) { return stores(job) ? SoftmaxJob::gradient : SoftmaxJob::value; }

/// Whether a lane's exponentials are carried along with its logits; without FMA, that is at SSE2, the choice of both does not
/// vectorize, and what is left behind is exponentiated anew.
constexpr bool carries(SoftmaxJob job) { return stores(job) && math::has_fma; }

// ---- one class of one row ----

/// What some classes add to their lane. Exponentials go into doubles two at a time: the loss of a dominant class is their sum
/// alone, and has no digits to lose.
template <class T>
struct RowTerms {
  Wide<T> rest;           // exponentials of all but one maximum
  Tally<T> coefficients;  // a_c
  Tally<T> distance;      // a_c (m - x_c)
};

template <class T>
NDLOSS_INLINE RowTerms<T> operator+(const RowTerms<T>& a, const RowTerms<T>& b) {
  return {a.rest + b.rest, a.coefficients + b.coefficients, a.distance + b.distance};
}

/// One of several exponentials, and the sum of two of them.
template <class T, int N>
NDLOSS_INLINE T value(const math::Several<T, N>& e, int k) {
  return e.of[k];
}

template <class T, int N>
NDLOSS_INLINE T value(const math::ScaledExps<T, N>& e, int k) {
  return e.value(k);
}

template <class E>
NDLOSS_INLINE auto wide_sum(const E& e, int j, int k) {
  return widen(Tally<decltype(value(e, j))>{value(e, j)} + Tally<decltype(value(e, k))>{value(e, k)});
}

template <int N>
NDLOSS_INLINE Plain wide_sum(const math::ScaledExps<float, N>& e, int j, int k) {
  return {static_cast<double>(e.sum(j, k))};
}

/// The largest logit of a lane so far, and its exponential where it is carried. A class that comes leaves the smaller
/// of the two behind: what is left behind in the end is all but one maximum, and no logit was compared with the row's maximum
/// to leave it out. NaN is left behind.
template <class T>
struct Front {
  T x = -math::infinity<T>;
  T e = 0;

  /// What x leaves behind.
  NDLOSS_INLINE T meet(T other) {
    const bool ahead = other > x;
    const T behind = ahead ? x : other;
    x = ahead ? other : x;
    return behind;
  }

  /// The exponential of what x leaves behind. The first class is not left behind, be it -inf.
  NDLOSS_INLINE T meet(T other, T other_e) {
    const bool ahead = other >= x;
    const T behind = ahead ? e : other_e;
    x = ahead ? other : x;
    e = ahead ? other_e : e;
    return behind;
  }
};

/// Where class c of row r stands; the stride that the lanes run along is 1.
template <Direction D>
NDLOSS_INLINE std::ptrdiff_t offset(std::ptrdiff_t row_stride, std::ptrdiff_t class_stride, std::ptrdiff_t c,
                                    std::ptrdiff_t r) {
  return D == Direction::across ? c * class_stride + r : r * row_stride + c;
}

/// What a tile holds of one class of one row.
template <class T>
struct Class {
  T x;
  T target;       // probability, or upstream gradient of a product
  T coefficient;  // a_c
};

template <Direction D, Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE Class<T> read_class(const SoftmaxTile<T>& tile, std::ptrdiff_t c, std::ptrdiff_t r) {
  Class<T> one{tile.input[offset<D>(tile.row_stride, tile.class_stride, c, r)], T(0), T(0)};
  if constexpr (K == Coefficients::probabilities || is_product(J)) {
    one.target = tile.target[offset<D>(tile.target_row_stride, tile.target_class_stride, c, r)];
  }
  if constexpr (K == Coefficients::probabilities) {
    one.coefficient = tile.per_class[c] * math::fma(one.target, tile.keep, tile.add);
  } else if constexpr (K == Coefficients::shared) {
    one.coefficient = tile.per_class[c];
  }
  return one;
}

/// The maximum that distances are taken from: 0 stands in for -inf.
template <class V>
NDLOSS_INLINE V distance_origin(V max) {
  return math::select(max == -math::infinity<V>, V(0), max);
}

/// What `Count` classes add to their lane; their exponentials are stored where the job needs them again. `at` gives the class
/// of each; one that is not to be kept is one of logit -inf.
template <Direction D, Coefficients K, SoftmaxJob J, int Count, class T, class At, class Keep>
NDLOSS_INLINE RowTerms<T> observe(const SoftmaxTile<T>& tile, const SoftmaxReference<T>& reference, std::ptrdiff_t r,
                                  const At& at, const Keep& keep, Front<T>& front) {
  const auto classes =
      math::several<Count>([&](int k) __attribute__((always_inline)) { return read_class<D, K, J>(tile, at(k), r); });
  const auto x = math::several<Count>(
      [&](int k) __attribute__((always_inline)) { return keep(k) ? classes.of[k].x : -math::infinity<T>; });
  math::Several<T, Count> stored{};
  if constexpr (stores(J)) {
    const auto exps = reference.template exps<Count>(x);
    stored = math::several<Count>([&](int k) __attribute__((always_inline)) {
      return tile.output[offset<D>(tile.output_row_stride, tile.output_class_stride, at(k), r)] = exps.value(k);
    });
  }
  const auto rest = [&]() __attribute__((always_inline)) {
    if constexpr (carries(J)) {
      return math::several<Count>([&](int k) __attribute__((always_inline)) { return front.meet(x.of[k], stored.of[k]); });
    } else {
      return reference.template exps<Count>(
          math::several<Count>([&](int k) __attribute__((always_inline)) { return front.meet(x.of[k]); }));
    }
  }();
  const auto coefficient = [&](int k) __attribute__((always_inline)) {
    return Tally<T>{K == Coefficients::probabilities && keep(k) ? classes.of[k].coefficient : T(0)};
  };
  const auto distance = [&](int k) __attribute__((always_inline)) {
    const Class<T>& one = classes.of[k];
    const T moved = math::product_or_zero(one.coefficient, distance_origin(reference.max) - one.x);
    return Tally<T>{K != Coefficients::none && keep(k) ? moved : T(0)};
  };
  if constexpr (Count == 1) {
    return RowTerms<T>{widen(Tally<T>{value(rest, 0)}), coefficient(0), distance(0)};
  } else {
    return pairwise<Count / 2>([&](int pair) __attribute__((always_inline)) {
      const int k = 2 * pair;
      return RowTerms<T>{wide_sum(rest, k, k + 1), coefficient(k) + coefficient(k + 1), distance(k) + distance(k + 1)};
    });
  }
}

/// What a finished row needs to put out one number per class.
template <class T>
struct Emission {
  T coefficients;  // A
  T share;
  T max;
  T log_total;
  T scale;  // of the gradient
  T inner;  // Σ g P or Σ g
  bool kept;
};

template <Direction D, Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void emit(const SoftmaxTile<T>& tile, const Emission<T>& row, std::ptrdiff_t c, std::ptrdiff_t r) {
  const Class<T> one = read_class<D, K, J>(tile, c, r);
  T& out = tile.output[offset<D>(tile.output_row_stride, tile.output_class_stride, c, r)];
  if constexpr (J == SoftmaxJob::log_softmax) {
    out = (one.x - row.max) - row.log_total;
  } else {
    const T probability = out * math::Real<T>::unbias * row.share;
    if constexpr (J == SoftmaxJob::gradient) {
      const T slope = row.scale * CrossEntropyLoss::slope(row.coefficients, probability, one.coefficient);
      out = row.kept ? slope : T(0);
    } else if constexpr (J == SoftmaxJob::softmax) {
      out = probability;
    } else if constexpr (J == SoftmaxJob::softmax_vjp) {
      out = probability * (one.target - row.inner);
    } else {
      out = one.target - probability * row.inner;
    }
  }
}

/// The second derivative for one class, while its exponential stands in the output.
template <Direction D, class T>
NDLOSS_INLINE void emit_curvature(const SoftmaxTile<T>& tile, const Emission<T>& row, T complement, std::ptrdiff_t c,
                                  std::ptrdiff_t r) {
  const std::ptrdiff_t at = offset<D>(tile.output_row_stride, tile.output_class_stride, c, r);
  const T probability = tile.output[at] * math::Real<T>::unbias * row.share;
  const T curvature = row.scale * CrossEntropyLoss::curvature(row.coefficients, probability, complement);
  tile.curvature[at] = row.kept ? curvature : T(0);
}

/// The gradients for a row's probabilities and for the class weights (one row's part of them).
template <Direction D, class T>
NDLOSS_INLINE void emit_target_gradients(const SoftmaxTile<T>& tile, const Emission<T>& row, std::ptrdiff_t c,
                                         std::ptrdiff_t r) {
  const Class<T> one = read_class<D, Coefficients::probabilities, SoftmaxJob::gradient>(tile, c, r);
  const std::ptrdiff_t to = offset<D>(tile.output_row_stride, tile.output_class_stride, c, r);
  const T surprise = row.log_total + (row.max - one.x);
  if (tile.grad_target != nullptr) {
    const T slope = row.scale * math::product_or_zero(tile.per_class[c] * tile.keep, surprise);
    tile.grad_target[to] = row.kept ? slope : T(0);
  }
  if (tile.grad_weight != nullptr) {
    const T slope = row.scale * math::product_or_zero(math::fma(one.target, tile.keep, tile.add), surprise);
    tile.grad_weight[to] = row.kept ? slope : T(0);
  }
}

// ---- the rows of a tile, one per lane ----

template <class T>
struct ReferenceLanes {
  T max[lanes];
  T shift[lanes];
  T magic[lanes];
  T floor[lanes];
  T unscale[lanes];
  T unscale_tail[lanes];

  NDLOSS_INLINE SoftmaxReference<T> get(int l) const {
    return {max[l], shift[l], magic[l], floor[l], unscale[l], unscale_tail[l]};
  }

  /// From the maxima, everything else.
  NDLOSS_INLINE void derive(int l) {
    const SoftmaxReference<T> reference = softmax_reference(max[l]);
    shift[l] = reference.shift;
    magic[l] = reference.magic;
    floor[l] = reference.floor;
    unscale[l] = reference.unscale;
    unscale_tail[l] = reference.unscale_tail;
  }
};

/// The sums of each row, what its label adds, and what it has come to.
template <class T>
struct RowLanes {
  double rest[lanes];
  double maxima[lanes];
  double coefficients[lanes];
  double distance[lanes];
  T label_coefficient[lanes];
  T label_input[lanes];
  T label_shared[lanes];  // the target's share of the shared coefficients
  T scale[lanes];
  T kept[lanes];  // 1, or 0 for an ignored row
  T max[lanes];
  T share[lanes];
  T log_total[lanes];
  T total_coefficients[lanes];
  T label_slope[lanes];
  T inner[lanes];
  double loss[lanes];

  NDLOSS_INLINE Emission<T> emission(int l) const {
    return {total_coefficients[l], share[l], max[l], log_total[l], scale[l], inner[l], kept[l] != T(0)};
  }
};

/// The logit of each row's label, and its share of the shared coefficients; of class 0 where a row has no label.
template <Direction D, Coefficients K, class T>
NDLOSS_INLINE void look_up_labels(const SoftmaxTile<T>& tile, RowLanes<T>& rows) {
  std::int64_t known[lanes];
  std::int64_t place[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    known[l] = tile.label[l] & ~(tile.label[l] >> 63);  // by integer arithmetic: there is no branch to guess
    place[l] = offset<D>(tile.row_stride, tile.class_stride, known[l], l);
  }
  const int readable = D == Direction::across ? lanes : tile.rows;
#pragma GCC unroll 8
  for (int l = 0; l < readable; ++l) {
    rows.label_input[l] = tile.input[place[l]];
  }
  for (int l = readable; l < lanes; ++l) {
    rows.label_input[l] = T(0);
  }
  if constexpr (K == Coefficients::shared) {
    for (int l = 0; l < lanes; ++l) {
      rows.label_shared[l] = tile.per_class[known[l]];
    }
  }
}

/// Reads what the tile says of each row.
template <Direction D, Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void read_rows(const SoftmaxTile<T>& tile, RowLanes<T>& rows) {
  if (tile.label != nullptr) {
    look_up_labels<D, K>(tile, rows);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      rows.label_coefficient[l] =
          static_cast<T>(tile.label_share * (tile.label_weight != nullptr ? tile.label_weight[l] : 1.0));
    }
    for (int l = 0; l < lanes; ++l) {
      rows.kept[l] = tile.label[l] >= 0 ? T(1) : T(0);
      if constexpr (K == Coefficients::shared) {
        rows.label_shared[l] = tile.label[l] >= 0 ? rows.label_shared[l] : T(0);
      }
    }
  } else {
    for (int l = 0; l < lanes; ++l) {
      rows.label_coefficient[l] = rows.label_input[l] = rows.label_shared[l] = T(0);
      rows.kept[l] = K == Coefficients::probabilities && (tile.takes_part == nullptr || tile.takes_part[l]) ? T(1) : T(0);
    }
  }
  if constexpr (K != Coefficients::shared) {
    for (int l = 0; l < lanes; ++l) {
      rows.label_shared[l] = T(0);
    }
  }
  if constexpr (J != SoftmaxJob::value) {
    for (int l = 0; l < lanes; ++l) {
      rows.scale[l] = tile.scale != nullptr && l < tile.rows ? tile.scale[l] : T(1);
      rows.inner[l] = T(0);
    }
  }
}

/// Finishes one row of given sums: its loss, unless that is folded with others, and what its output needs.
template <Coefficients K, SoftmaxJob J, bool folded = false, class T>
NDLOSS_INLINE void finish(const ReferenceLanes<T>& references, RowLanes<T>& rows, double rest, double maxima, double shared,
                          int l) {
  const SoftmaxReference<T> reference = references.get(l);
  const SoftmaxRow row = softmax_finish(reference, rest, maxima);
  rows.rest[l] = row.rest;
  rows.max[l] = reference.max;
  rows.share[l] = static_cast<T>(row.share);
  rows.log_total[l] = folded ? T(0) : static_cast<T>(row.log_total);
  if constexpr (is_loss(J)) {
    const double a = static_cast<double>(rows.label_coefficient[l]);
    const double x = static_cast<double>(rows.label_input[l]);
    const double coefficients = (K == Coefficients::shared          ? shared
                                 : K == Coefficients::probabilities ? rows.coefficients[l]
                                                                    : 0.0) +
                                a;
    if constexpr (!folded) {
      const double before = K != Coefficients::none ? rows.distance[l] : 0.0;
      const double distance = before + math::product_or_zero(a, distance_origin(row.max) - x);
      const double loss = CrossEntropyLoss::value(row, coefficients, distance);
      rows.loss[l] = math::select(rows.kept[l] != T(0), loss, 0.0);
    }
    rows.total_coefficients[l] = static_cast<T>(coefficients);
    if constexpr (J == SoftmaxJob::gradient && K != Coefficients::probabilities) {
      const double probability = static_cast<double>(reference.exp(rows.label_input[l]) * math::Real<T>::unbias) * row.share;
      const double at_label = a + static_cast<double>(rows.label_shared[l]);
      const double slope = CrossEntropyLoss::slope_at_target(row, coefficients, at_label, x, probability);
      rows.label_slope[l] = static_cast<T>(slope) * rows.scale[l];
    }
  }
}

/// What a row of coefficient 1, or several of them, lose: distance + log1p(rest).
struct FoldedLoss {
  double rest;
  double distance;
};

/// (1 + rest)(1 + rest') - 1 without the 1: at most 2^8 each, and eight together far from the end of a float's range.
NDLOSS_INLINE FoldedLoss operator+(const FoldedLoss& a, const FoldedLoss& b) {
  return {a.rest + math::fma(a.rest, b.rest, b.rest), a.distance + b.distance};
}

static_assert(tile_groups == lanes / run);

/// The losses of finished rows without weights, eight of them in a group.
template <class T>
NDLOSS_INLINE void fold_losses(const RowLanes<T>& rows, double* group_rest, double* group_distance) {
  double rest[lanes];
  double distance[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    const bool kept = rows.kept[l] != T(0);
    rest[l] = math::select(kept, rows.rest[l], 0.0);
    distance[l] =
        math::select(kept, static_cast<double>(distance_origin(rows.max[l])) - static_cast<double>(rows.label_input[l]), 0.0);
  }
#pragma GCC unroll 4
  for (int half = lanes / 2; half >= tile_groups; half /= 2) {
#pragma omp simd
    for (int l = 0; l < half; ++l) {
      const FoldedLoss both = FoldedLoss{rest[l], distance[l]} + FoldedLoss{rest[l + half], distance[l + half]};
      rest[l] = both.rest;
      distance[l] = both.distance;
    }
  }
#pragma omp simd
  for (int l = 0; l < tile_groups; ++l) {
    group_rest[l] = rest[l];
    group_distance[l] = distance[l];
  }
}

/// The sum of the losses of each tile: one logarithm for a group. Those of several tiles are taken at once, because all steps
/// of one wait for each other.
template <class T>
void sum_losses(const FoldedLosses& folded, double* sums) {
  double losses[lanes];
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    losses[l] = math::log1p_wide<T>(folded.rest[l]) + folded.distance[l];
  }
  for (int tile = 0; tile < FoldedLosses::tiles; ++tile) {
    sums[tile] = pairwise<tile_groups>([&](int g) __attribute__((always_inline)) { return losses[tile * tile_groups + g]; });
  }
}

template <SoftmaxJob J, class T>
NDLOSS_INLINE void write_losses(const SoftmaxTile<T>& tile, const RowLanes<T>& rows) {
  for (int l = 0; is_loss(J) && l < tile.rows && tile.value != nullptr; ++l) {
    tile.value[l] = rows.loss[l];
  }
}

/// The gradient at the target, where A P - a would cancel, once the row's classes are put out.
template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void write_label_slope(const SoftmaxTile<T>& tile, const RowLanes<T>& rows, int l) {
  if constexpr (J == SoftmaxJob::gradient && K != Coefficients::probabilities) {
    if (rows.kept[l] != T(0)) {
      tile.output[l * tile.output_row_stride + tile.label[l] * tile.output_class_stride] = rows.label_slope[l];
    }
  }
}

/// Sums in double: across, of one row per lane; along, of one row over all lanes.
template <class T>
struct RowSums {
  WideLanes<T> rest;
  WideLanes<T> coefficients;
  WideLanes<T> distance;
  T front[lanes];
  T front_e[lanes];

  template <Coefficients K>
  NDLOSS_INLINE void clear() {
    rest.clear();
    if constexpr (K == Coefficients::probabilities) {
      coefficients.clear();
    }
    if constexpr (K != Coefficients::none) {
      distance.clear();
    }
  }

  template <Coefficients K>
  NDLOSS_INLINE void add(int l, const RowTerms<T>& lane) {
    rest.add(l, lane.rest);
    if constexpr (K == Coefficients::probabilities) {
      coefficients.add(l, widen(lane.coefficients));
    }
    if constexpr (K != Coefficients::none) {
      distance.add(l, widen(lane.distance));
    }
  }

  template <SoftmaxJob J>
  NDLOSS_INLINE Front<T> front_of(int l) const {
    return {front[l], carries(J) ? front_e[l] : T(0)};
  }

  template <SoftmaxJob J>
  NDLOSS_INLINE void set_front(int l, const Front<T>& with) {
    front[l] = with.x;
    if constexpr (carries(J)) {
      front_e[l] = with.e;
    }
  }
};

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

/// The inner loops of the softmax family: cross entropy, softmax and log-softmax over a tile of rows.
///
/// One formula, two directions. `along` takes one contiguous row at a time, lanes along the classes; `across` takes the classes
/// in order, lanes across the rows of the tile. Which one runs depends on the number of classes alone, so that the bits do not
/// depend on the layout. A tile goes through five phases: maxima, references, sums, totals, output; only the phases that touch
/// classes know the direction.
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

// ---- one class of one row ----

/// What one class, or two, add to a row.
template <class T>
struct RowTerms {
  Tally<T> rest;          // exponentials of all but the maxima
  Tally<T> maxima;        // how many equal the maximum
  Tally<T> coefficients;  // a_c
  Tally<T> distance;      // a_c (m - x_c)
};

template <class T>
NDLOSS_INLINE RowTerms<T> operator+(const RowTerms<T>& a, const RowTerms<T>& b) {
  return {a.rest + b.rest, a.maxima + b.maxima, a.coefficients + b.coefficients, a.distance + b.distance};
}

/// What a lane adds up of a row. Exponentials go into doubles two at a time: the loss of a dominant class is their sum alone,
/// and has no digits to lose.
template <class T>
struct RowLane {
  Wide<T> rest;
  Tally<T> maxima;
  Tally<T> coefficients;
  Tally<T> distance;
};

template <class T>
NDLOSS_INLINE RowLane<T> operator+(const RowLane<T>& a, const RowLane<T>& b) {
  return {a.rest + b.rest, a.maxima + b.maxima, a.coefficients + b.coefficients, a.distance + b.distance};
}

template <class T>
NDLOSS_INLINE RowLane<T> widened(const RowTerms<T>& terms) {
  return {widen(terms.rest), terms.maxima, terms.coefficients, terms.distance};
}

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

/// What one class adds to its lane; its exponential is stored where the job needs it again.
template <Direction D, Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE RowTerms<T> observe(const SoftmaxTile<T>& tile, const SoftmaxReference<T>& reference, std::ptrdiff_t c,
                                  std::ptrdiff_t r, bool keep) {
  RowTerms<T> lane;
  const Class<T> one = read_class<D, K, J>(tile, c, r);
  const T e = reference.exp(one.x);
  const bool is_max = one.x == reference.max;
  lane.rest.head = is_max | !keep ? T(0) : e;
  lane.maxima.head = is_max & keep ? T(1) : T(0);
  if constexpr (K == Coefficients::probabilities) {
    lane.coefficients.head = keep ? one.coefficient : T(0);
  }
  if constexpr (K != Coefficients::none) {
    const T distance = math::product_or_zero(one.coefficient, distance_origin(reference.max) - one.x);
    lane.distance.head = keep ? distance : T(0);
  }
  if constexpr (stores(J)) {
    tile.output[offset<D>(tile.output_row_stride, tile.output_class_stride, c, r)] = e;
  }
  return lane;
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

/// Reads what the tile says of each row.
template <Coefficients K, class T>
NDLOSS_INLINE void read_rows(const SoftmaxTile<T>& tile, RowLanes<T>& rows) {
  for (int l = 0; l < lanes; ++l) {
    const bool labelled = tile.label != nullptr && l < tile.rows && tile.label[l] >= 0;
    const std::ptrdiff_t y = labelled ? tile.label[l] : 0;
    const bool kept = K == Coefficients::probabilities ? tile.takes_part == nullptr || tile.takes_part[l] : labelled;
    rows.kept[l] = kept ? T(1) : T(0);
    rows.label_coefficient[l] = labelled ? tile.label_coefficient[l] : T(0);
    rows.label_input[l] = labelled ? tile.input[l * tile.row_stride + y * tile.class_stride] : T(0);
    rows.label_shared[l] = K == Coefficients::shared && labelled ? tile.per_class[y] : T(0);
    rows.scale[l] = tile.scale != nullptr && l < tile.rows ? tile.scale[l] : T(1);
    rows.inner[l] = T(0);
  }
}

/// Finishes one row: its loss, and what its output needs.
template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void finish(const ReferenceLanes<T>& references, RowLanes<T>& rows, double shared, int l) {
  const SoftmaxReference<T> reference = references.get(l);
  const SoftmaxRow row = softmax_finish(reference, rows.rest[l], rows.maxima[l]);
  rows.rest[l] = row.rest;
  rows.max[l] = reference.max;
  rows.share[l] = static_cast<T>(row.share);
  rows.log_total[l] = static_cast<T>(row.log_total);
  if constexpr (is_loss(J)) {
    const double a = static_cast<double>(rows.label_coefficient[l]);
    const double x = static_cast<double>(rows.label_input[l]);
    const double coefficients = (K == Coefficients::shared ? shared : rows.coefficients[l]) + a;
    const double distance = rows.distance[l] + math::product_or_zero(a, distance_origin(row.max) - x);
    const double loss = CrossEntropyLoss::value(row, coefficients, distance);
    rows.loss[l] = math::select(rows.kept[l] != T(0), loss, 0.0);
    rows.total_coefficients[l] = static_cast<T>(coefficients);
    if constexpr (J == SoftmaxJob::gradient && K != Coefficients::probabilities) {
      const double probability = static_cast<double>(reference.exp(rows.label_input[l]) * math::Real<T>::unbias) * row.share;
      const double at_label = a + static_cast<double>(rows.label_shared[l]);
      const double slope = CrossEntropyLoss::slope_at_target(row, coefficients, at_label, x, probability);
      rows.label_slope[l] = static_cast<T>(slope) * rows.scale[l];
    }
  }
}

/// What remains once the classes are put out: losses, and the gradients at the targets, where A P - a would cancel.
template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void write_rows(const SoftmaxTile<T>& tile, const RowLanes<T>& rows) {
  if constexpr (is_loss(J)) {
    for (int l = 0; l < tile.rows; ++l) {
      tile.value[l] = rows.loss[l];
    }
  }
  if constexpr (J == SoftmaxJob::gradient && K != Coefficients::probabilities) {
    for (int l = 0; l < tile.rows; ++l) {
      if (rows.kept[l] != T(0)) {
        tile.output[l * tile.output_row_stride + tile.label[l] * tile.output_class_stride] = rows.label_slope[l];
      }
    }
  }
}

// ---- across: classes in order, lanes across the rows ----

/// Sums in double: across, of one row per lane; along, of one row over all lanes.
template <class T>
struct RowSums {
  WideLanes<T> rest;
  WideLanes<T> maxima;
  WideLanes<T> coefficients;
  WideLanes<T> distance;

  template <Coefficients K>
  NDLOSS_INLINE void clear() {
    rest.clear();
    maxima.clear();
    if constexpr (K == Coefficients::probabilities) {
      coefficients.clear();
    }
    if constexpr (K != Coefficients::none) {
      distance.clear();
    }
  }

  template <Coefficients K>
  NDLOSS_INLINE void add(int l, const RowLane<T>& lane) {
    rest.add(l, lane.rest);
    maxima.add(l, widen(lane.maxima));
    if constexpr (K == Coefficients::probabilities) {
      coefficients.add(l, widen(lane.coefficients));
    }
    if constexpr (K != Coefficients::none) {
      distance.add(l, widen(lane.distance));
    }
  }
};

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
      for (int l = 0; l < tile.rows; ++l) {
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

// ---- along: one contiguous row, lanes along the classes ----

template <class T>
NDLOSS_INLINE T row_max(const T* x, std::ptrdiff_t n) {
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
  const auto one = [&](int k) __attribute__((always_inline)) {
    return observe<Direction::along, K, J>(tile, reference, c + l + k * lanes, r, true);
  };
  sums.template add<K>(
      l, pairwise<run / 2>([&](int k) __attribute__((always_inline)) { return widened(one(2 * k) + one(2 * k + 1)); }));
}

/// Groups of lanes that the last classes of a row, fewer than a step, are taken by.
inline constexpr int part = run / 2;

template <Coefficients K, SoftmaxJob J, class T>
NDLOSS_INLINE void observe_part(const SoftmaxTile<T>& tile, const SoftmaxReference<T>& reference, int first, int l, int count,
                                RowSums<T>& sums) {
  const auto one = [&](int k) __attribute__((always_inline)) {
    const int c = first + l + k * lanes;
    return observe<Direction::along, K, J>(tile, reference, c, 0, c < count);
  };
  sums.template add<K>(
      l, pairwise<part / 2>([&](int k) __attribute__((always_inline)) { return widened(one(2 * k) + one(2 * k + 1)); }));
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

/// Sums over the first `end` classes of row r. Not inlined: tiles and segments share it.
template <Coefficients K, SoftmaxJob J, class T>
[[gnu::noinline]] void fold_row(const SoftmaxTile<T>& given, const SoftmaxReference<T> reference, std::ptrdiff_t r,
                                std::ptrdiff_t end, RowSums<T>& sums) {
  const SoftmaxTile<T> tile = given;
  constexpr std::ptrdiff_t step = std::ptrdiff_t{lanes} * run;
  std::ptrdiff_t c = 0;
  const T* ahead = tile.input + (r + tile.rows) * tile.row_stride;  // the same row of the next tile
  for (; c + step <= end; c += step) {
    for (std::ptrdiff_t j = 0; j < step; j += 64 / static_cast<std::ptrdiff_t>(sizeof(T))) {
      __builtin_prefetch(ahead + c + j);
    }
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      observe_run<K, J>(tile, reference, c, l, r, sums);
    }
  }
  if (c < end) {
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
}

template <class T>
NDLOSS_INLINE double joined(WideLanes<T>& wide) {
  const math::Pair<double> sum = wide.join();
  return math::joined(sum.head, sum.tail);
}

/// Σ g P (softmax) or Σ g (log-softmax) of a row whose exponentials stand in the output.
template <SoftmaxJob J, class T>
[[gnu::noinline]] double inner_product(const SoftmaxTile<T>& tile, std::ptrdiff_t r, T share) {
  const T* g = tile.target + r * tile.target_row_stride;
  const T* e = tile.output + r * tile.output_row_stride;
  const std::ptrdiff_t size = tile.classes;
  WideLanes<T> sums;
  sums.clear();
  const auto term = [&](std::ptrdiff_t c) __attribute__((always_inline)) {
    const T p = J == SoftmaxJob::softmax_vjp ? e[c] * math::Real<T>::unbias * share : T(1);
    return widen(Tally<T>{g[c] * p, T(0)});
  };
  std::ptrdiff_t c = 0;
  for (; c + lanes <= size; c += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      sums.add(l, term(c + l));
    }
  }
  for (int l = 0; c < size; ++c, ++l) {
    sums.add(l, term(c));
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
  const SoftmaxTile<T> tile = given;
  ReferenceLanes<T> references;
  RowLanes<T> rows;
  for (int l = 0; l < lanes; ++l) {
    references.max[l] = l < tile.rows ? row_max(tile.input + l * tile.row_stride, tile.classes) : T(0);
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    references.derive(l);
  }
  read_rows<K>(tile, rows);
  for (int l = 0; l < tile.rows; ++l) {
    RowSums<T> sums;
    sums.template clear<K>();
    fold_row<K, J>(tile, references.get(l), l, tile.classes, sums);
    rows.rest[l] = joined(sums.rest);
    rows.maxima[l] = joined(sums.maxima);
    rows.coefficients[l] = K == Coefficients::probabilities ? joined(sums.coefficients) : 0.0;
    rows.distance[l] = K != Coefficients::none ? joined(sums.distance) : 0.0;
  }
  for (int l = tile.rows; l < lanes; ++l) {
    rows.rest[l] = rows.coefficients[l] = rows.distance[l] = 0;
    rows.maxima[l] = 1;
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    finish<K, J>(references, rows, tile.shared, l);
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
    }
  }
  write_rows<K, J>(tile, rows);
}

// ---- segments of one long row ----

template <Coefficients K, SoftmaxJob J, class T>
SegmentState fold_segment(const SoftmaxTile<T>& segment) {
  const SoftmaxReference<T> reference = softmax_reference(row_max(segment.input, segment.classes));
  RowSums<T> sums;
  sums.template clear<K>();
  fold_row<K, J>(segment, reference, 0, segment.classes, sums);
  const SoftmaxRow row = softmax_finish(reference, joined(sums.rest), joined(sums.maxima));
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

// ---- the table ----

template <SoftmaxJob J, Coefficients K, class T>
constexpr void enter(SoftmaxTable<T>& table) {
  const auto job = static_cast<int>(J);
  const auto kind = static_cast<int>(K);
  table.short_rows[job][kind] = {tile_across<K, J, T>, nullptr, nullptr, nullptr};
  table.long_rows[job][kind] = {tile_along<K, J, T>, fold_segment<K, J, T>, inner_segment<J, T>, emit_segment<K, J, T>};
}

template <class T>
constexpr SoftmaxTable<T> softmax_table() {
  SoftmaxTable<T> table{};
  enter<SoftmaxJob::value, Coefficients::none>(table);
  enter<SoftmaxJob::value, Coefficients::shared>(table);
  enter<SoftmaxJob::value, Coefficients::probabilities>(table);
  enter<SoftmaxJob::gradient, Coefficients::none>(table);
  enter<SoftmaxJob::gradient, Coefficients::shared>(table);
  enter<SoftmaxJob::gradient, Coefficients::probabilities>(table);
  enter<SoftmaxJob::softmax, Coefficients::none>(table);
  enter<SoftmaxJob::log_softmax, Coefficients::none>(table);
  enter<SoftmaxJob::softmax_vjp, Coefficients::none>(table);
  enter<SoftmaxJob::log_softmax_vjp, Coefficients::none>(table);
  return table;
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

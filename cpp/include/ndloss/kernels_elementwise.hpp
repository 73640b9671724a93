/// The inner loops of every elementwise loss: sums, maps and gradients over one block of contiguous numbers.
///
/// Plain loops over the lanes of `lanes.hpp`. This header is compiled once per ISA into the library; a program instantiates it
/// for losses of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "ndloss/accumulator.hpp"
#include "ndloss/elementwise.hpp"
#include "ndloss/lanes.hpp"

namespace ndloss {

inline constexpr int max_operands = 4;

/// One block of an elementwise pass. Null streams are absent.
template <class T>
struct ElementwiseBlock {
  const T* operand[max_operands];
  const T* weight;    // multiplies value and gradient
  const T* upstream;  // multiplies the gradient
  T scale;            // multiplies the gradient
  T* value;
  T* grad[max_operands];
  std::ptrdiff_t size;
};

/// What a kernel reports of its block. Positions are relative to the block.
struct BlockResult {
  double sum = 0;
  double carry = 0;
  double weight = 0;
  double weight_carry = 0;
  BadValue bad;
};

/// The kernels of one loss in one compute type. `loss` points to the loss's struct.
template <class T>
struct ElementwiseKernels {
  using Kernel = BlockResult (*)(const void* loss, const ElementwiseBlock<T>& block);
  Kernel sum;              // Σ value
  Kernel sum_weighted;     // Σ weight value, Σ weight
  Kernel map;              // value
  Kernel map_weighted;     // weight value
  Kernel gradient;         // Σ value; d value / d operand 0, times scale
  Kernel gradient_weighted;  // with weight and upstream
  Kernel gradients;        // the same for every differentiable operand
  Kernel gradients_weighted;
};

namespace NDLOSS_ISA {
namespace {

/// What a pass does, as flags.
enum Pass : unsigned { summing = 1, mapping = 2, first_gradient = 4, all_gradients = 8, weighted = 16 };

/// What one lane has gathered since its last visit to the doubles.
template <class T>
struct Lane {
  Tally<T> sum;
  T product = 0;  // prod (1 + argument) - 1 of the folded logarithms
  double weight = 0;
  std::uint32_t bad = 0;
};

/// The same for the lanes of an incomplete run, in memory.
template <class T>
struct LaneMemory {
  TallyLanes<T> sum;
  T product[lanes] = {};
  double weight[lanes] = {};
  std::uint32_t bad[lanes] = {};

  NDLOSS_INLINE Lane<T> get(int l) const { return {sum.get(l), product[l], weight[l], bad[l]}; }
  NDLOSS_INLINE void set(int l, const Lane<T>& lane) {
    sum.set(l, lane.sum);
    product[l] = lane.product;
    weight[l] = lane.weight;
    bad[l] = lane.bad;
  }
};

template <class L, unsigned P>
inline constexpr bool sums_logs = folds<L> && (P & summing) != 0 && (P & weighted) == 0;

/// The sums of a block.
template <class T>
struct BlockLanes {
  WideLanes<T> sum;
  WideLanes<T> weight;

  template <unsigned P, class L>
  NDLOSS_INLINE void add(int l, const Lane<T>& lane) {
    if constexpr ((P & summing) != 0) {
      sum.add(l, lane.sum);
    }
    if constexpr (sums_logs<L, P>) {
      sum.add(l, Tally<T>{math::log1p_nonnegative(lane.product), T(0)});
    }
    if constexpr ((P & summing) != 0 && (P & weighted) != 0) {
      weight.add(l, lane.weight);
    }
  }
};

template <class L, class T, std::size_t... K>
NDLOSS_INLINE auto term_at(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::index_sequence<K...>) {
  return loss(block.operand[K][i]...);
}

template <class L, class T, std::size_t... K>
NDLOSS_INLINE Folded<T> folded_at(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i,
                                  std::index_sequence<K...>) {
  return loss.folded(block.operand[K][i]...);
}

template <class L, class T, std::size_t... K>
NDLOSS_INLINE bool valid_at(const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::index_sequence<K...>) {
  return (in_domain(L::domains[K], block.operand[K][i]) & ...);
}

/// One element: adds to its lane and stores what the pass stores. Where `keep` is false nothing is added.
template <unsigned P, class L, class T>
NDLOSS_INLINE void element(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, Lane<T>& lane, bool keep) {
  constexpr std::make_index_sequence<L::operands> operands{};
  const Term<T, L::inputs> term = term_at(loss, block, i, operands);
  const T weight = (P & weighted) != 0 ? block.weight[i] : T(1);
  if constexpr (checked<L>) {
    lane.bad |= static_cast<std::uint32_t>(keep & !valid_at<L>(block, i, operands));
  }
  if constexpr (sums_logs<L, P>) {
    const Folded<T> parts = folded_at(loss, block, i, operands);
    const T argument = keep ? parts.argument : T(0);
    lane.sum.add(keep ? parts.linear : T(0));
    lane.product = lane.product + math::fma(lane.product, argument, argument);
  } else if constexpr ((P & summing) != 0) {
    const T value = (P & weighted) != 0 ? weight * term.value : term.value;
    lane.sum.add(keep ? value : T(0));
    if constexpr ((P & weighted) != 0) {
      lane.weight += static_cast<double>(keep ? weight : T(0));
    }
  }
  if constexpr ((P & mapping) != 0) {
    block.value[i] = (P & weighted) != 0 ? weight * term.value : term.value;
  }
  if constexpr ((P & (first_gradient | all_gradients)) != 0) {
    const T scale = (P & weighted) != 0 ? block.scale * weight * block.upstream[i] : block.scale;
    block.grad[0][i] = term.grad[0] * scale;
    if constexpr ((P & all_gradients) != 0) {
      for (int k = 1; k < L::inputs; ++k) {
        block.grad[k][i] = term.grad[k] * scale;
      }
    }
  }
}

template <unsigned P, class L, class T, std::size_t... R>
NDLOSS_INLINE void elements(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, Lane<T>& lane,
                            std::index_sequence<R...>) {
  (element<P>(loss, block, i + static_cast<std::ptrdiff_t>(R) * lanes, lane, true), ...);
}

// The bodies of the simd loops below are functions, because a struct declared in such a loop becomes an array of structs,
// which is not vectorized. The run is a fold, because a loop of its size is unrolled only after the vectorizer has looked.

/// One lane through a whole run; true if it saw a bad value.
template <unsigned P, class L, class T>
NDLOSS_INLINE std::uint32_t whole_run(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, int l,
                                      BlockLanes<T>& all) {
  Lane<T> lane;
  elements<P>(loss, block, i + l, lane, std::make_index_sequence<run>{});
  all.template add<P, L>(l, lane);
  return lane.bad;
}

/// One element of an incomplete run.
template <unsigned P, class L, class T>
NDLOSS_INLINE void partial_run(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, int l, bool keep,
                               LaneMemory<T>& memory) {
  Lane<T> lane = memory.get(l);
  element<P>(loss, block, i, lane, keep);
  memory.set(l, lane);
}

/// Up to `lanes` elements copied out, so that the last group of a block runs through the same lanes as every other.
template <unsigned P, class L, class T>
struct Remainder {
  T storage[(L::operands + 3 + L::inputs) * lanes];
  ElementwiseBlock<T> block;

  NDLOSS_INLINE Remainder(const ElementwiseBlock<T>& whole, std::ptrdiff_t first, int count) : block(whole) {
    int used = 0;
    const auto take = [&](const T* from) {
      T* to = storage + used++ * lanes;
      for (int l = 0; l < lanes; ++l) {
        to[l] = from[first + (l < count ? l : 0)];
      }
      return static_cast<const T*>(to);
    };
    for (int k = 0; k < L::operands; ++k) {
      block.operand[k] = take(whole.operand[k]);
    }
    if constexpr ((P & weighted) != 0) {
      block.weight = take(whole.weight);
      if constexpr ((P & (first_gradient | all_gradients)) != 0) {
        block.upstream = take(whole.upstream);
      }
    }
    if constexpr ((P & mapping) != 0) {
      block.value = storage + used++ * lanes;
    }
    for (int k = 0; k < L::inputs; ++k) {
      block.grad[k] = storage + used++ * lanes;
    }
  }

  NDLOSS_INLINE void give_back(const ElementwiseBlock<T>& whole, std::ptrdiff_t first, int count) const {
    for (int l = 0; l < count; ++l) {
      if constexpr ((P & mapping) != 0) {
        whole.value[first + l] = block.value[l];
      }
      if constexpr ((P & (first_gradient | all_gradients)) != 0) {
        whole.grad[0][first + l] = block.grad[0][l];
      }
      if constexpr ((P & all_gradients) != 0) {
        for (int k = 1; k < L::inputs; ++k) {
          whole.grad[k][first + l] = block.grad[k][l];
        }
      }
    }
  }
};

/// The first element of [begin, end) outside its operand's domain. Cold: runs only where the pass has seen one.
template <class L, class T>
[[gnu::cold, gnu::noinline]] BadValue find_bad(const ElementwiseBlock<T>& block, std::ptrdiff_t begin, std::ptrdiff_t end) {
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    for (int k = 0; k < L::operands; ++k) {
      const T x = block.operand[k][i];
      if (!in_domain(L::domains[k], x)) {
        return {.index = i, .value = std::bit_cast<std::uint64_t>(static_cast<double>(x)), .operand = static_cast<std::int8_t>(k)};
      }
    }
  }
  // Another thread has put it right meanwhile: report where it was.
  return {.index = begin, .value = std::bit_cast<std::uint64_t>(math::nan<double>), .operand = 0};
}

/// The sum of a float block whose lanes have overflowed, term by term in double.
template <class L, unsigned P, class T>
[[gnu::cold, gnu::noinline]] double wide_sum(const L& loss, const ElementwiseBlock<T>& block) {
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < block.size; ++i) {
    const double value = static_cast<double>(term_at(loss, block, i, std::make_index_sequence<L::operands>{}).value);
    sum += (P & weighted) != 0 ? value * static_cast<double>(block.weight[i]) : value;
  }
  return sum;
}

template <class L, unsigned P, class T>
BlockResult pass(const void* loss_pointer, const ElementwiseBlock<T>& given) {
  const L loss = *static_cast<const L*>(loss_pointer);
  const ElementwiseBlock<T> block = given;  // copies, so that pointers and parameters stay in registers
  constexpr std::ptrdiff_t step = std::ptrdiff_t{lanes} * run;
  BlockLanes<T> all;
  BadValue bad;
  const auto note = [&](std::uint32_t seen, std::ptrdiff_t begin, std::ptrdiff_t end) {
    if (checked<L> && seen != 0 && !bad.found()) {
      bad = find_bad<L>(given, begin, end);
    }
  };
  std::ptrdiff_t i = 0;
  for (; i + step <= block.size; i += step) {
    std::uint32_t seen = 0;
#pragma omp simd reduction(| : seen)
    for (int l = 0; l < lanes; ++l) {
      seen |= whole_run<P>(loss, block, i, l, all);
    }
    note(seen, i, i + step);
  }
  if (i < block.size) {
    LaneMemory<T> partial;
    std::uint32_t seen = 0;
    const std::ptrdiff_t begin = i;
    for (; i + lanes <= block.size; i += lanes) {
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        partial_run<P>(loss, block, i + l, l, true, partial);
      }
    }
    if (i < block.size) {
      const int count = static_cast<int>(block.size - i);
      Remainder<P, L, T> rest(given, i, count);
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        partial_run<P>(loss, rest.block, l, l, l < count, partial);
      }
      rest.give_back(given, i, count);
    }
#pragma omp simd reduction(| : seen)
    for (int l = 0; l < lanes; ++l) {
      all.template add<P, L>(l, partial.get(l));
      seen |= partial.bad[l];
    }
    note(seen, begin, block.size);
  }
  BlockResult result;
  if constexpr ((P & summing) != 0) {
    const math::Pair<double> sum = all.sum.join();
    result.sum = sum.head;
    result.carry = sum.tail;
    if constexpr ((P & weighted) != 0) {
      const math::Pair<double> weight = all.weight.join();
      result.weight = weight.head;
      result.weight_carry = weight.tail;
    }
    if (sizeof(T) == 4 && !(math::abs(result.sum) < math::infinity<double>)) {
      result.sum = wide_sum<L, P>(*static_cast<const L*>(loss_pointer), given);
      result.carry = 0;
    }
  }
  result.bad = bad;
  return result;
}

/// The kernels of loss L in compute type T, for the table of this ISA or for a program's own loss.
template <class L, class T>
inline constexpr ElementwiseKernels<T> elementwise_kernels = {
    .sum = pass<L, summing, T>,
    .sum_weighted = pass<L, summing | weighted, T>,
    .map = pass<L, mapping, T>,
    .map_weighted = pass<L, mapping | weighted, T>,
    .gradient = pass<L, summing | first_gradient, T>,
    .gradient_weighted = pass<L, summing | first_gradient | weighted, T>,
    .gradients = pass<L, summing | all_gradients, T>,
    .gradients_weighted = pass<L, summing | all_gradients | weighted, T>,
};

}  // namespace
}  // namespace NDLOSS_ISA
}  // namespace ndloss

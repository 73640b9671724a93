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

/// How far ahead of its loads a pass asks memory for what comes.
inline constexpr std::ptrdiff_t prefetch_bytes = 4096;

/// One block of an elementwise pass.
template <class T>
struct ElementwiseBlock {
  const T* operand[max_operands];
  T scale;  // multiplies the gradient
  T* value;
  T* grad[max_operands];
  std::ptrdiff_t size;
};

/// What a kernel reports of its block. Positions are relative to the block.
struct BlockResult {
  double sum = 0;
  double carry = 0;
  BadValue bad;
};

/// The kernels of one loss in one compute type. `loss` points to the loss's struct. Weights are the drivers' business.
template <class T>
struct ElementwiseKernels {
  using Kernel = BlockResult (*)(const void* loss, const ElementwiseBlock<T>& block);
  Kernel sum;        // Σ value
  Kernel map;        // value
  Kernel gradient;   // Σ value; d value / d operand 0, times scale
  Kernel gradients;  // the same for every differentiable operand
};

namespace NDLOSS_ISA {
namespace {

/// What a pass does, as flags.
enum Pass : unsigned { summing = 1, mapping = 2, first_gradient = 4, all_gradients = 8 };

/// What one lane has gathered since its last visit to the doubles.
template <class T>
struct Lane {
  Tally<T> sum;
  T product = 0;  // prod (1 + argument) - 1 of the folded logarithms
  std::uint32_t bad = 0;
};

template <class T>
NDLOSS_INLINE Lane<T> operator+(const Lane<T>& a, const Lane<T>& b) {
  const T product = a.product + math::fma(a.product, b.product, b.product);
  return {a.sum + b.sum, product, a.bad | b.bad};
}

/// The same for the lanes of an incomplete run, in memory.
template <class T>
struct LaneMemory {
  TallyLanes<T> sum;
  T product[lanes] = {};
  std::uint32_t bad[lanes] = {};

  NDLOSS_INLINE Lane<T> get(int l) const { return {sum.get(l), product[l], bad[l]}; }
  NDLOSS_INLINE void set(int l, const Lane<T>& lane) {
    sum.set(l, lane.sum);
    product[l] = lane.product;
    bad[l] = lane.bad;
  }
};

template <class L, unsigned P>
inline constexpr bool sums_logs = folds<L> && (P & summing) != 0;

/// Adds one lane's run to the sums of a block.
template <unsigned P, class L, class T>
NDLOSS_INLINE void add_run(WideLanes<T>& all, int l, const Lane<T>& lane) {
  if constexpr ((P & summing) != 0) {
    all.add(l, widen(lane.sum));
  }
  if constexpr (sums_logs<L, P>) {
    all.add(l, widen(Tally<T>{math::log1p_nonnegative(lane.product), T(0)}));
  }
}

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

/// One element: stores what the pass stores, returns what it adds to its lane: nothing where `keep` is false.
template <unsigned P, class L, class T>
NDLOSS_INLINE Lane<T> element(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, bool keep) {
  constexpr std::make_index_sequence<L::operands> operands{};
  const Term<T, L::inputs> term = term_at(loss, block, i, operands);
  Lane<T> lane;
  if constexpr (checked<L>) {
    lane.bad = static_cast<std::uint32_t>(keep & !valid_at<L>(block, i, operands));
  }
  if constexpr (sums_logs<L, P>) {
    const Folded<T> parts = folded_at(loss, block, i, operands);
    lane.sum.head = keep ? parts.linear : T(0);
    lane.product = keep ? parts.argument : T(0);
  } else if constexpr ((P & summing) != 0) {
    lane.sum.head = keep ? term.value : T(0);
  }
  if constexpr ((P & mapping) != 0) {
    block.value[i] = term.value;
  }
  if constexpr ((P & (first_gradient | all_gradients)) != 0) {
    block.grad[0][i] = term.grad[0] * block.scale;
    if constexpr ((P & all_gradients) != 0) {
      for (int k = 1; k < L::inputs; ++k) {
        block.grad[k][i] = term.grad[k] * block.scale;
      }
    }
  }
  return lane;
}

// The bodies of the simd loops below are functions, because a struct declared in such a loop becomes an array of structs,
// which is not vectorized.

/// One lane through a whole run; true if it saw a bad value.
template <unsigned P, class L, class T>
NDLOSS_INLINE std::uint32_t whole_run(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, int l,
                                      WideLanes<T>& all) {
  const Lane<T> lane =
      pairwise<run>([&](int r) __attribute__((always_inline)) { return element<P>(loss, block, i + l + r * lanes, true); });
  add_run<P, L>(all, l, lane);
  return lane.bad;
}

/// One element of an incomplete run.
template <unsigned P, class L, class T>
NDLOSS_INLINE void partial_run(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, int l, bool keep,
                               LaneMemory<T>& memory) {
  memory.set(l, memory.get(l) + element<P>(loss, block, i, keep));
}

/// Up to `lanes` elements copied out, so that the last group of a block runs through the same lanes as every other.
template <unsigned P, class L, class T>
struct Remainder {
  T storage[(L::operands + 1 + L::inputs) * lanes];
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
        return {
            .index = i, .value = std::bit_cast<std::uint64_t>(static_cast<double>(x)), .operand = static_cast<std::int8_t>(k)};
      }
    }
  }
  // Another thread has put it right meanwhile: report where it was.
  return {.index = begin, .value = std::bit_cast<std::uint64_t>(math::nan<double>), .operand = 0};
}

/// The sum of a float block whose lanes have overflowed, term by term in double.
template <class L, class T>
[[gnu::cold, gnu::noinline]] double wide_sum(const L& loss, const ElementwiseBlock<T>& block) {
  double sum = 0;
  for (std::ptrdiff_t i = 0; i < block.size; ++i) {
    sum += static_cast<double>(term_at(loss, block, i, std::make_index_sequence<L::operands>{}).value);
  }
  return sum;
}

/// Asks for what a later step reads: while one step computes, memory is not to wait.
template <class L, class T>
NDLOSS_INLINE void prefetch_step(const ElementwiseBlock<T>& block, std::ptrdiff_t i) {
  constexpr std::ptrdiff_t line = 64 / static_cast<std::ptrdiff_t>(sizeof(T));
  for (int k = 0; k < L::operands; ++k) {
    for (std::ptrdiff_t j = 0; j < std::ptrdiff_t{lanes} * run; j += line) {
      __builtin_prefetch(block.operand[k] + i + prefetch_bytes / static_cast<std::ptrdiff_t>(sizeof(T)) + j);
    }
  }
}

template <class L, unsigned P, class T>
BlockResult pass(const void* loss_pointer, const ElementwiseBlock<T>& given) {
  const L loss = *static_cast<const L*>(loss_pointer);
  const ElementwiseBlock<T> block = given;  // copies, so that pointers and parameters stay in registers
  constexpr std::ptrdiff_t step = std::ptrdiff_t{lanes} * run;
  WideLanes<T> all;
  all.clear();
  BadValue bad;
  const auto note = [&](std::uint32_t seen, std::ptrdiff_t begin, std::ptrdiff_t end) {
    if (checked<L> && seen != 0 && !bad.found()) {
      bad = find_bad<L>(given, begin, end);
    }
  };
  std::ptrdiff_t i = 0;
  for (; i + step <= block.size; i += step) {
    std::uint32_t seen = 0;
    prefetch_step<L>(block, i);
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
      add_run<P, L>(all, l, partial.get(l));
      seen |= partial.bad[l];
    }
    note(seen, begin, block.size);
  }
  BlockResult result;
  if constexpr ((P & summing) != 0) {
    const math::Pair<double> sum = all.join();
    result.sum = sum.head;
    result.carry = sum.tail;
    if (sizeof(T) == 4 && !(math::abs(result.sum) < math::infinity<double>)) {
      result.sum = wide_sum<L>(*static_cast<const L*>(loss_pointer), given);
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
    .map = pass<L, mapping, T>,
    .gradient = pass<L, summing | first_gradient, T>,
    .gradients = pass<L, summing | all_gradients, T>,
};

}  // namespace
}  // namespace NDLOSS_ISA
}  // namespace ndloss

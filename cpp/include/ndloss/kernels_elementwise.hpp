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
#include "ndloss/prefetch.hpp"
#include "ndloss/step_sums.hpp"
#include "ndloss/streamed.hpp"

namespace ndloss {

inline constexpr int max_operands = 4;

/// Elements of a block of an elementwise pass: a stream that is fed whole blocks has the bits of the whole.
inline constexpr std::int64_t elementwise_block = 4096;

/// What the lanes of a block's sum hold between two pieces of it.
struct CarriedLanes {
  double head[32];
  double tail[32];
  bool opens;   // this piece is the first
  bool closes;  // it is the last, and returns the sum of all
};

/// One block of an elementwise pass, or a piece of one: whole steps, but for the last.
template <class T>
struct ElementwiseBlock {
  const T* operand[max_operands];
  const T* weight;  // multiplies each element's part of the sum; null: ones
  T scale;          // multiplies the gradient
  T* value;
  T* grad[max_operands];
  T* curvature[max_operands];
  std::ptrdiff_t size;
  CarriedLanes* carried;  // null: the block is whole
  bool streams;           // results may be written past the caches: they stand at multiples of `stream_alignment`
};

/// What a kernel reports of its block. Positions are relative to the block.
struct BlockResult {
  double sum = 0;
  double carry = 0;
  BadValue bad;
};

/// The kernels of one loss in one compute type. `loss` points to the loss's struct. Of what is stored, weights are the drivers'
/// business.
template <class T>
struct ElementwiseKernels {
  using Kernel = BlockResult (*)(const void* loss, const ElementwiseBlock<T>& block);
  using Sums = void (*)(const void* loss, const ElementwiseBlock<T>& blocks, double* sums);
  Kernel sum;         // Σ weight value
  Sums sums;          // the same of whole blocks that stand in a row, unweighted; null: no faster than one at a time
  Kernel map;         // value
  Kernel gradient;    // the same; d value / d operand 0, times scale
  Kernel gradients;   // the same for every differentiable operand
  Kernel curvatures;  // these, and the second derivatives, times scale too
};

namespace NDLOSS_ISA {
namespace {

/// What a pass stores of every element, as flags. A loss that folds has no value while it is summed, but its two parts.
enum Stores : unsigned { whole_value = 1, folded_value = 2, first_gradient = 4, all_gradients = 8, all_curvatures = 16 };

static_assert(lanes == sizeof(CarriedLanes::head) / sizeof(double) && elementwise_block % step == 0);

/// The terms of one step, on their way into the lanes: values, or with `argument` the two parts of folded ones.
template <class L, unsigned S, class T>
struct Terms {
  T value[step];
  T argument[(S & folded_value) != 0 ? step : 1];
};

template <class L, class T, std::size_t... K>
NDLOSS_INLINE auto term_at(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::index_sequence<K...>) {
  return loss(block.operand[K][i]...);
}

template <class L, class T, std::size_t... K>
NDLOSS_INLINE auto folded_at(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::index_sequence<K...>) {
  return loss.folded(block.operand[K][i]...);
}

template <class L, class T, std::size_t... K>
NDLOSS_INLINE bool valid_at(const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::index_sequence<K...>) {
  return (in_domain(L::domains[K], block.operand[K][i]) & ...);
}

/// One element: stores what the pass stores, derivatives as element `to`, its terms at `value` and `argument`; 1 if an operand
/// is outside its domain. A function, because a struct declared in a simd loop becomes an array of structs, which is not
/// vectorized.
template <unsigned S, class L, class T>
NDLOSS_INLINE std::uint32_t element(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::ptrdiff_t to,
                                    T* value, T* argument) {
  constexpr std::make_index_sequence<L::operands> operands{};
  // First, because a result may take the place of an operand.
  const std::uint32_t bad = checked<L> ? static_cast<std::uint32_t>(!valid_at<L>(block, i, operands)) : 0;
  const Term<T, L::inputs> term = term_at(loss, block, i, operands);
  if constexpr ((S & folded_value) != 0) {
    const auto parts = folded_at(loss, block, i, operands);
    if constexpr (folds_chances<L>) {
      *value = parts.number;
    } else {
      *value = parts.linear;
      *argument = parts.argument;
    }
  } else {
    *value = term.value;
  }
  if constexpr ((S & (first_gradient | all_gradients)) != 0) {
    block.grad[0][to] = term.grad[0] * block.scale;
  }
  if constexpr ((S & all_gradients) != 0) {
    for (int k = 1; k < L::inputs; ++k) {
      block.grad[k][to] = term.grad[k] * block.scale;
    }
  }
  if constexpr ((S & all_curvatures) != 0) {
    for (int k = 0; k < L::inputs; ++k) {
      block.curvature[k][to] = term.curvature[k] * block.scale;
    }
  }
  return bad;
}

/// Asks for what a later group of lanes reads: while one is computed, memory is not to wait. A brief loss keeps memory busy by
/// its own loads, and the processor, which sees what comes next, is only disturbed by being asked.
template <class L, class T>
NDLOSS_INLINE void prefetch_group(const ElementwiseBlock<T>& block, std::ptrdiff_t i) {
  if constexpr (brief<L>) {
    return;
  }
  for (int k = 0; k < L::operands; ++k) {
    for (std::ptrdiff_t j = 0; j < lanes; j += line_numbers<T>) {
      prefetch(block.operand[k] + i + prefetch_bytes / static_cast<std::ptrdiff_t>(sizeof(T)) + j);
    }
  }
}

/// The results of a group on their way past the caches. Formulas of more instructions keep the processor busy for longer than
/// memory takes to read the lines that they write.
template <unsigned S, class L, class T>
struct Streamed {
  static constexpr int grads = (S & all_gradients) != 0 ? L::inputs : (S & first_gradient) != 0 ? 1 : 0;
  static constexpr int curvatures = (S & all_curvatures) != 0 ? L::inputs : 0;
  static constexpr bool value = S == whole_value;  // else values are terms of a sum
  static constexpr bool possible = brief<L> && streaming_stores && (value || grads > 0);

  alignas(stream_alignment) T room[possible ? (value + grads + curvatures) * lanes : 1];

  /// Lets a block store its derivatives here.
  NDLOSS_INLINE void take(ElementwiseBlock<T>& block) {
    for (int k = 0; k < grads; ++k) {
      block.grad[k] = room + k * lanes;
    }
    for (int k = 0; k < curvatures; ++k) {
      block.curvature[k] = room + (grads + k) * lanes;
    }
  }

  /// Sends a group where it belongs: derivatives to the elements from `first` on, values to `values`.
  NDLOSS_INLINE void send(const ElementwiseBlock<T>& block, std::ptrdiff_t first, T* values) const {
    constexpr std::size_t bytes = lanes * sizeof(T);
    if constexpr (value) {
      stream_lines<bytes>(room, values);
    }
    for (int k = 0; k < grads; ++k) {
      stream_lines<bytes>(room + k * lanes, block.grad[k] + first);
    }
    for (int k = 0; k < curvatures; ++k) {
      stream_lines<bytes>(room + (grads + k) * lanes, block.curvature[k] + first);
    }
  }

  /// After the last group of a block.
  NDLOSS_INLINE static void end(const ElementwiseBlock<T>& block) {
    if (possible && block.streams) {
      end_stream();
    }
  }
};

/// A number that the compiler does not know: it would compile loops over again for it.
NDLOSS_INLINE std::ptrdiff_t hidden(std::ptrdiff_t number) {
  asm("" : "+r"(number));
  return number;
}

/// `count` groups of lanes from element `begin` on; true if one saw a bad value. The one place where a formula meets a vector
/// loop: every kernel of a loss goes through it, so that it is compiled once for each thing that is stored.
template <unsigned S, class L, class T>
[[gnu::noinline]] bool groups(const L& given_loss, const ElementwiseBlock<T>& given, std::ptrdiff_t begin, std::ptrdiff_t count,
                              T* value, T* argument) {
  using Way = Streamed<S, L, T>;
  const L loss = given_loss;  // copies, so that pointers and parameters stay in registers
  ElementwiseBlock<T> block = given;
  const bool streams = Way::possible && given.streams;
  Way streamed;
  if (streams) {
    streamed.take(block);
  }
  std::uint32_t seen = 0;
  for (std::ptrdiff_t g = 0; g < count; ++g) {
    const std::ptrdiff_t at = g * lanes;
    prefetch_group<L>(block, begin + at);
    const std::ptrdiff_t to = streams ? 0 : begin + at;
    T* const values = streams && Way::value ? streamed.room : value + at;
    T* const arguments = argument + ((S & folded_value) != 0 ? at : 0);
#pragma omp simd reduction(| : seen)
    for (int l = 0; l < lanes; ++l) {
      seen |= element<S>(loss, block, begin + at + l, to + l, values + l, arguments + l);
    }
    if constexpr (Way::possible) {
      if (streams) {
        streamed.send(given, begin + at, value + at);
      }
    }
  }
  return seen != 0;
}

/// Up to `lanes` elements copied out, so that the last group of a block runs through the same loop as every other.
template <unsigned S, class L, class T>
struct Remainder {
  T storage[(L::operands + 2 * L::inputs) * lanes];
  ElementwiseBlock<T> block;

  NDLOSS_INLINE Remainder(const ElementwiseBlock<T>& whole, std::ptrdiff_t first, int count) : block(whole) {
    block.streams = false;
    int used = 0;
    for (int k = 0; k < L::operands; ++k) {
      T* to = storage + used++ * lanes;
      for (int l = 0; l < lanes; ++l) {
        to[l] = whole.operand[k][first + (l < count ? l : 0)];
      }
      block.operand[k] = to;
    }
    for (int k = 0; k < L::inputs; ++k) {
      block.grad[k] = storage + used++ * lanes;
      block.curvature[k] = storage + used++ * lanes;
    }
  }

  NDLOSS_INLINE void give_back(const ElementwiseBlock<T>& whole, std::ptrdiff_t first, int count) const {
    constexpr int gradients = (S & all_gradients) != 0 ? L::inputs : (S & first_gradient) != 0 ? 1 : 0;
    for (int k = 0; k < gradients; ++k) {
      for (int l = 0; l < count; ++l) {
        whole.grad[k][first + l] = block.grad[k][l];
        if constexpr ((S & all_curvatures) != 0) {
          whole.curvature[k][first + l] = block.curvature[k][l];
        }
      }
    }
  }
};

/// The first operand of element i outside its domain, -1 if there is none. The domains are read by constant positions: a
/// loop over them would make their array a symbol of every ISA's object.
template <class L, class T, std::size_t... K>
NDLOSS_INLINE int bad_operand(const ElementwiseBlock<T>& block, std::ptrdiff_t i, std::index_sequence<K...>) {
  int found = -1;
  static_cast<void>(((!in_domain(L::domains[K], block.operand[K][i]) && (found = static_cast<int>(K), true)) || ...));
  return found;
}

/// The first element of [begin, end) outside its operand's domain. Cold: runs only where the pass has seen one.
template <class L, class T>
[[gnu::cold, gnu::noinline]] BadValue find_bad(const ElementwiseBlock<T>& block, std::ptrdiff_t begin, std::ptrdiff_t end) {
  for (std::ptrdiff_t i = begin; i < end; ++i) {
    const int k = bad_operand<L>(block, i, std::make_index_sequence<L::operands>{});
    if (k >= 0) {
      const auto x = static_cast<double>(block.operand[k][i]);
      return {.index = i, .value = std::bit_cast<std::uint64_t>(x), .operand = static_cast<std::int8_t>(k)};
    }
  }
  // Another thread has put it right meanwhile: report where it was.
  return {.index = begin, .value = std::bit_cast<std::uint64_t>(math::nan<double>), .operand = 0};
}

/// The first bad value of a range in which one was seen, unless an earlier range had one.
template <class L, class T>
NDLOSS_INLINE void note(BadValue& bad, bool seen, const ElementwiseBlock<T>& block, std::ptrdiff_t begin, std::ptrdiff_t end) {
  if (checked<L> && seen && !bad.found()) {
    bad = find_bad<L>(block, begin, end);
  }
}

/// Stores the unreduced loss.
template <class L, class T>
BlockResult map_pass(const void* loss_pointer, const ElementwiseBlock<T>& block) {
  constexpr unsigned S = whole_value;
  const L& loss = *static_cast<const L*>(loss_pointer);
  const std::ptrdiff_t whole = block.size / lanes;
  const std::ptrdiff_t rest = block.size - whole * lanes;
  T unused;
  bool seen = groups<S>(loss, block, 0, whole, block.value, &unused);
  if (rest > 0) {
    const Remainder<S, L, T> remainder(block, whole * lanes, static_cast<int>(rest));
    T value[lanes];
    seen |= groups<S>(loss, remainder.block, hidden(0), hidden(1), value, &unused);
    for (std::ptrdiff_t l = 0; l < rest; ++l) {
      block.value[whole * lanes + l] = value[l];
    }
  }
  Streamed<S, L, T>::end(block);
  BlockResult result;
  note<L>(result.bad, seen, block, 0, block.size);
  return result;
}

template <class L, class T, std::size_t... K>
NDLOSS_INLINE math::Int<T> unfoldable_at(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t i,
                                         std::index_sequence<K...>) {
  return loss.unfoldable(block.operand[K][i]...);
}

/// Whether a loss that folds some of its elements folds all of these. Where the first ones tell, the rest is not read.
template <class L, class T>
NDLOSS_INLINE bool all_foldable(const L& given_loss, const ElementwiseBlock<T>& given, std::ptrdiff_t begin,
                                std::ptrdiff_t count) {
  const L loss = given_loss;
  const ElementwiseBlock<T> block = given;
  constexpr std::make_index_sequence<L::operands> operands{};
  if (unfoldable_at(loss, block, begin, operands) != 0) {
    return false;
  }
  math::Int<T> unfoldable = 0;
#pragma omp simd reduction(| : unfoldable)
  for (std::ptrdiff_t i = begin; i < begin + count; ++i) {
    unfoldable |= unfoldable_at(loss, block, i, operands);
  }
  return unfoldable == 0;
}

/// The terms of `count` elements, a step at most, and zeros behind them; true if one saw a bad value.
template <unsigned S, class L, class T>
NDLOSS_INLINE bool step_terms(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t begin, std::ptrdiff_t count,
                              T* value, T* argument) {
  const std::ptrdiff_t whole = count / lanes;
  const std::ptrdiff_t rest = count - whole * lanes;
  bool seen = groups<S>(loss, block, begin, whole, value, argument);
  if (rest > 0) {
    const std::ptrdiff_t at = whole * lanes;
    const Remainder<S, L, T> remainder(block, begin + at, static_cast<int>(rest));
    seen |= groups<S>(loss, remainder.block, hidden(0), hidden(1), value + at, argument + ((S & folded_value) != 0 ? at : 0));
    remainder.give_back(block, begin + at, static_cast<int>(rest));
  }
  for (std::ptrdiff_t k = count; k < step; ++k) {
    value[k] = -T(0);  // a chance of 1
    if constexpr ((S & folded_value) != 0) {
      argument[k] = 0;
    }
  }
  return seen;
}

/// The sums of the runs that begin with row `First` of a step: row by row, because memory is fastest in its own order, and
/// pairwise, as `run_of_values` adds. All is unrolled, so that the rows stay in registers.
template <bool weighed, int Rows, int First, class L, class T>
NDLOSS_INLINE void add_rows(const L& loss, const ElementwiseBlock<T>& block, std::ptrdiff_t begin, T* to) {
  if constexpr (Rows == 1) {
    const std::ptrdiff_t row = begin + First * lanes;
    prefetch_group<L>(block, row);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      const T value = term_at(loss, block, row + l, std::make_index_sequence<L::operands>{}).value;
      to[l] = weighed ? value * block.weight[row + l] : value;
    }
  } else {
    T rest[lanes];
    add_rows<weighed, Rows / 2, First>(loss, block, begin, to);
    add_rows<weighed, Rows - Rows / 2, First + Rows / 2>(loss, block, begin, rest);
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      to[l] += rest[l];
    }
  }
}

/// Adds the whole steps of a block to `all` without taking their values through memory. False, and nothing is added, where a
/// sum is not finite: eight terms together may have been beyond a float. With `each`, the sum of every block is put there
/// instead.
///
/// Memory is loaded in its own order: gcc would load where a sum is added, and then the processor foresees no stream and a sum
/// takes up to twice as long. Between two blocks is next to nothing to do: it would stand before the loads of the next one.
template <bool weighed, class L, class T>
#if defined(__GNUC__) && !defined(__clang__)
[[gnu::optimize("no-tree-ter", "no-schedule-insns2")]]
#endif
[[gnu::noinline]] bool add_in_registers(WideLanes<T>& all, const L& given_loss, const ElementwiseBlock<T>& given,
                                        double* each = nullptr) {
  const L loss = given_loss;
  const ElementwiseBlock<T> block = given;
  for (std::ptrdiff_t i = 0;;) {
    const std::ptrdiff_t end = each == nullptr ? block.size : i + elementwise_block;
    WideLanes<T> sums = all;
    for (; i + step <= end; i += step) {
      T runs[lanes];
      add_rows<weighed, run, 0>(loss, block, i, runs);
#pragma omp simd
      for (int l = 0; l < lanes; ++l) {
        sums.add(l, widen(Tally<T>{runs[l], T(0)}));
      }
    }
    if (each == nullptr) {
      double nothing = 0;  // NaN with a sum that is not finite
#pragma omp simd reduction(+ : nothing)
      for (int l = 0; l < lanes; ++l) {
        nothing += sums.head[l] - sums.head[l];
      }
      if (nothing != 0) {
        return false;
      }
      all = sums;
      return true;
    }
    *each++ = sums.join().head;
    if (i >= block.size) {
      return true;
    }
  }
}

/// Formulas of a few instructions, where nothing is stored. In double each sum is two numbers, and there are not enough
/// registers.
template <class L, class T>
inline constexpr bool added_in_registers = brief<L> && sizeof(T) == 4;

/// How many elements of a block are added by `add_in_registers`.
template <class L, unsigned S, class T>
NDLOSS_INLINE std::ptrdiff_t add_brief(WideLanes<T>& all, const L& loss, const ElementwiseBlock<T>& block) {
  if constexpr (added_in_registers<L, T> && S == whole_value) {
    static_assert(!checked<L>);
    const bool added =
        block.weight == nullptr ? add_in_registers<false>(all, loss, block) : add_in_registers<true>(all, loss, block);
    return added ? block.size / step * step : 0;
  } else {
    return 0;
  }
}

/// Adds one step of chances without taking them through memory. False, and nothing is added, where one cannot be folded or
/// their products are not exact.
template <class L, class T>
[[gnu::noinline]] bool add_chances_of(WideLanes<T>& all, const L& given_loss, const ElementwiseBlock<T>& given,
                                      std::ptrdiff_t begin) {
  if (unfoldable_at(given_loss, given, begin, std::make_index_sequence<L::operands>{}) != 0) {
    return false;  // no use in computing the rest
  }
  const L loss = given_loss;
  const ElementwiseBlock<T> block = given;
  for (std::ptrdiff_t g = 0; g < step; g += lanes) {
    prefetch_group<L>(block, begin + g);
  }
  return add_products<false>(all, block.weight, [&](int l) __attribute__((always_inline)) {
    return pairwise<run>([&](int r) __attribute__((always_inline)) {
      constexpr std::make_index_sequence<L::operands> operands{};
      const std::ptrdiff_t i = begin + l + r * lanes;
      return ChanceProduct<T>::of(folded_at(loss, block, i, operands), unfoldable_at(loss, block, i, operands));
    });
  });
}

/// The lanes that a piece of a block begins with. Not inlined, as the next two: every pass shares them.
template <class T>
[[gnu::noinline]] void open(WideLanes<T>& all, const CarriedLanes* carried) {
  if (carried == nullptr || carried->opens) {
    all.clear();
  } else {
    all.take(carried->head, carried->tail);
  }
}

template <class T>
[[gnu::noinline]] math::Pair<double> join(WideLanes<T>& all) {
  return all.join();
}

/// Joins the lanes after the last piece of a block, and keeps them after every other.
template <class T>
[[gnu::noinline]] void close(WideLanes<T>& all, CarriedLanes* carried, BlockResult& result) {
  if (carried != nullptr && !carried->closes) {
    all.give(carried->head, carried->tail);
  } else {
    const math::Pair<double> sum = join(all);
    result.sum = sum.head;
    result.carry = sum.tail;
  }
}

/// Sums the loss, and stores the gradients that S names.
template <class L, unsigned S, class T>
BlockResult sum_pass(const void* loss_pointer, const ElementwiseBlock<T>& block) {
  const L& loss = *static_cast<const L*>(loss_pointer);
  Terms<L, S, T> terms;
  WideLanes<T> all;
  open(all, block.carried);
  BlockResult result;
  for (std::ptrdiff_t i = add_brief<L, S>(all, loss, block); i < block.size; i += step) {
    const std::ptrdiff_t count = block.size - i < step ? block.size - i : step;
    if constexpr (folds_chances<L> && S == folded_value && ChanceProduct<T>::possible) {
      if (count == step && block.weight == nullptr && add_chances_of(all, loss, block, i)) {
        continue;
      }
    }
    bool folded = (S & folded_value) != 0;
    bool seen = false;
    if constexpr (folds_some<L>) {
      folded = all_foldable(loss, block, i, count);
      if (!folded) {
        seen = step_terms<(S & ~folded_value) | whole_value>(loss, block, i, count, terms.value, terms.argument);
      }
    }
    if (folded || !folds_some<L>) {
      seen = step_terms<S>(loss, block, i, count, terms.value, terms.argument);
    }
    const T* const weight = block.weight != nullptr ? block.weight + i : nullptr;
    if constexpr (folds_chances<L>) {
      if (folded) {
        add_chance_step(all, terms.value, terms.argument, weight, count);
      }
    }
    if (!folded || !folds_chances<L>) {
      add_step(all, terms.value, folded ? terms.argument : nullptr, weight, count);
    }
    note<L>(result.bad, seen, block, i, i + count);
  }
  Streamed<S, L, T>::end(block);
  close(all, block.carried, result);
  return result;
}

/// What a sum of loss L is made of.
template <class L>
inline constexpr unsigned summed = folds<L> ? folded_value : whole_value;

/// The sum of each whole block of many. One that is not finite may have had eight terms that together were beyond a float.
template <class L, class T>
void sums_pass(const void* loss_pointer, const ElementwiseBlock<T>& blocks, double* sums) {
  if (blocks.size > 0) {
    WideLanes<T> none;
    none.clear();
    add_in_registers<false>(none, *static_cast<const L*>(loss_pointer), blocks, sums);
  }
}

template <class L, class T>
constexpr typename ElementwiseKernels<T>::Sums sums_kernel() {
  if constexpr (added_in_registers<L, T>) {
    return sums_pass<L, T>;
  } else {
    return nullptr;
  }
}

/// The kernels of loss L in compute type T, for the table of this ISA or for a program's own loss.
template <class L, class T>
inline constexpr ElementwiseKernels<T> elementwise_kernels = {
    .sum = sum_pass<L, summed<L>, T>,
    .sums = sums_kernel<L, T>(),
    .map = map_pass<L, T>,
    .gradient = sum_pass<L, summed<L> | first_gradient, T>,
    .gradients = sum_pass<L, summed<L> | (L::inputs > 1 ? all_gradients : first_gradient), T>,
    .curvatures = sum_pass<L, summed<L> | (L::inputs > 1 ? all_gradients : first_gradient) | all_curvatures, T>,
};

}  // namespace
}  // namespace NDLOSS_ISA
}  // namespace ndloss

/// What an elementwise loss must provide: the concept, and the types its formula is written in.
#pragma once

#include <concepts>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "ndloss/folded.hpp"
#include "ndloss/inline.hpp"
#include "ndloss/math.hpp"

namespace ndloss {

/// What an operand may hold; checked inside the pass. `real` is not checked.
enum class Domain : std::uint8_t { real, probability, non_negative };

/// A parameter of a loss: its name in torch.nn and the field that holds it.
template <class L, class M>
struct Param {
  const char* name;
  M L::* field;
};

/// One element of a loss: its value, its derivative for each differentiable operand, and the second derivatives.
/// What a caller does not use, the compiler removes.
template <class V, int Inputs>
struct Term {
  V value;
  V grad[Inputs];
  V curvature[Inputs];
};

/// An elementwise loss L is an aggregate of its parameters with
///   name       torch's function name
///   operands   how many arrays it reads per element, `inputs` of them (the first ones) differentiable
///   domains    what each operand may hold
///   operator() one V per operand -> Term<V, inputs>
/// and, optionally,
///   params()   the parameters by name
///   folds      true if folded() gives the value as Folded<V>
///   folds_chances  true if folded() gives a Chance<V> instead, which the value is the loss of
///   unfoldable() an integer that is not 0 for operands for which it does not, where it does not for all
///   brief      true if its value takes a few instructions and no operand has a domain: sums keep its terms in registers
///   row_mean   true if a loss element is the mean over the last axis
///   batch_mean true if 'batchmean' is one of its reductions: the sum, divided by the length of the first axis
template <class L>
concept ElementwiseLoss = std::is_aggregate_v<L> && requires {
  { L::name } -> std::convertible_to<const char*>;
  { L::operands } -> std::convertible_to<int>;
  { L::inputs } -> std::convertible_to<int>;
  { L::domains[0] } -> std::convertible_to<Domain>;
} && (L::operands >= 1 && L::operands <= 4 && L::inputs >= 1 && L::inputs <= L::operands);

template <class L>
inline constexpr bool folds = requires { requires L::folds; } || requires { requires L::folds_chances; };

template <class L>
inline constexpr bool folds_chances = requires { requires L::folds_chances; };

template <class L>
inline constexpr bool folds_some = folds<L> && requires { &L::template unfoldable<float>; };

template <class L>
inline constexpr bool brief = requires { requires L::brief; };

template <class L>
inline constexpr bool row_mean = requires { requires L::row_mean; };

template <class L>
inline constexpr bool batch_mean = requires { requires L::batch_mean; };

/// Whether any operand has a domain to be checked.
template <class L>
inline constexpr bool checked = [] {
  for (const Domain domain : L::domains) {
    if (domain != Domain::real) {
      return true;
    }
  }
  return false;
}();

/// Whether x lies in the domain. NaN is outside [0, 1], but passes as non-negative, as in torch.
template <class V>
NDLOSS_INLINE bool in_domain(Domain domain, V x) {
  const bool inside = (x >= V(0)) & (x <= V(1));
  const bool negative = x < V(0);
  return domain == Domain::probability ? inside : domain == Domain::real || !negative;
}

}  // namespace ndloss

/// The losses of the registry by name: how a binding makes one from its parameters.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "ndloss/calls.hpp"

namespace ndloss::binding {

/// Room for any elementwise loss, and the loss in it without its type.
struct AnyLoss {
  alignas(std::max_align_t) std::byte storage[64];
  ErasedLoss erased;
};

/// Fills `to` with the loss whose parameters, in the order of params(), are `values`.
using MakeLoss = void (*)(AnyLoss& to, const double* values);

/// How operands are spread to the shape of the first: not at all, along one axis, or by NumPy's rule; or all to the shape that
/// they have together, with a warning.
enum class Spreads : std::uint8_t { never, along_one, always, with_warning };

struct RegisteredLoss {
  const char* name;
  int operands;
  int inputs;
  int class_weights;  // so many operands, the last ones, broadcast and have no say in the dtype of the result
  Spreads spreads;
  int parameters;
  bool batch_mean;
  bool has_domain;
  MakeLoss make;
};

template <class L>
constexpr int parameter_count() {
  if constexpr (requires { L::params(); }) {
    return static_cast<int>(std::tuple_size_v<decltype(L::params())>);
  } else {
    return 0;
  }
}

template <class L, class... Others>
inline constexpr bool is_one_of = (std::is_same_v<L, Others> || ...);

/// As the Python functions check it, which warn or raise for the others.
template <class L>
inline constexpr Spreads spreads =
    is_one_of<L, GaussianNLLLoss, MarginRankingLoss> ? Spreads::along_one
    : is_one_of<L, KLDivLoss, KLDivLogTargetLoss, PoissonNLLLoss, PoissonNLLFullLoss, PoissonNLLRateLoss,
                PoissonNLLRateFullLoss, MultiLabelSoftMarginLoss, SoftMarginLoss, HingeEmbeddingLoss>
        ? Spreads::always
    : is_one_of<L, L1Loss, MSELoss, SmoothL1Loss, HuberLoss> ? Spreads::with_warning
                                                             : Spreads::never;

template <class L>
inline constexpr int class_weights = std::is_same_v<L, BCEWithLogitsPosWeightLoss> ? 1 : 0;

template <class L>
void make_loss(AnyLoss& to, [[maybe_unused]] const double* values) {
  static_assert(sizeof(L) <= sizeof(to.storage) && std::is_trivially_destructible_v<L>);
  L* loss = new (to.storage) L{};
  if constexpr (requires { L::params(); }) {
    std::apply(
        [&](const auto&... param) {
          ((loss->*param.field = static_cast<std::remove_cvref_t<decltype(loss->*param.field)>>(*values++)), ...);
        },
        L::params());
  }
  to.erased = erase(*loss);
}

template <class... L>
constexpr auto registered_of(TypeList<L...> /*losses*/) {
  return std::array<RegisteredLoss, sizeof...(L)>{{{L::name, L::operands, L::inputs, class_weights<L>, spreads<L>,
                                                    parameter_count<L>(), batch_mean<L>, checked<L>, make_loss<L>}...}};
}

inline constexpr auto registered = registered_of(ElementwiseLosses{});

}  // namespace ndloss::binding

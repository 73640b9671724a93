/// Adding up the terms of one step of an elementwise sum: values, and of folded ones the logarithms, weighed or not.
///
/// Functions that every loss shares: a kernel of its own leaves its terms in memory, where they are weighed and added.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ndloss/chance.hpp"
#include "ndloss/lanes.hpp"

namespace ndloss::NDLOSS_ISA {
namespace {

/// Elements between two visits to the doubles: a run of each lane.
inline constexpr std::ptrdiff_t step = std::ptrdiff_t{lanes} * run;

/// A term on its way through a pairwise sum, and a folded one through a product: (1 + a)(1 + b) - 1 without the 1.
template <class T>
struct Product {
  T less_one;
};

template <class T>
NDLOSS_INLINE Product<T> operator+(const Product<T>& a, const Product<T>& b) {
  return {a.less_one + math::fma(a.less_one, b.less_one, b.less_one)};
}

template <bool weighed, class T>
NDLOSS_INLINE Tally<T> run_of_values(const T* value, const T* weight, int l) {
  return pairwise<run>([&](int r) __attribute__((always_inline)) {
    const int k = l + r * lanes;
    return Tally<T>{weighed ? value[k] * weight[k] : value[k], T(0)};
  });
}

template <bool weighed, class T>
NDLOSS_INLINE void add_value_run(WideLanes<T>& all, const T* value, const T* weight, int l) {
  all.add(l, widen(run_of_values<weighed>(value, weight, l)));
}

/// Adds one step of floats of which eight together are beyond a float.
template <bool weighed, class T>
[[gnu::cold, gnu::noinline]] void add_large_values(WideLanes<T>& all, const T* value, const T* weight) {
  for (std::ptrdiff_t k = 0; k < step; ++k) {
    all.head[k % lanes] += static_cast<double>(value[k]) * (weighed ? static_cast<double>(weight[k]) : 1.0);
  }
}

/// Adds one step of values.
template <bool weighed, class T>
[[gnu::noinline]] void add_values(WideLanes<T>& all, const T* value, const T* weight) {
  if constexpr (sizeof(T) == 8) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      add_value_run<weighed>(all, value, weight, l);
    }
  } else {
    T sums[lanes];
    std::uint32_t large = 0;
#pragma omp simd reduction(| : large)
    for (int l = 0; l < lanes; ++l) {
      sums[l] = run_of_values<weighed>(value, weight, l).head;
      large |= static_cast<std::uint32_t>(!(math::abs(sums[l]) < math::infinity<T>));
    }
    if (large != 0) {
      add_large_values<weighed>(all, value, weight);
      return;
    }
#pragma omp simd
    for (int l = 0; l < lanes; ++l) {
      all.add(l, widen(Tally<T>{sums[l], T(0)}));
    }
  }
}

/// Adds log(1 + product), times its weight in double: a float might not hold that.
template <bool weighed, class T>
NDLOSS_INLINE void add_logarithm(WideLanes<T>& all, int l, T product, const T* weight) {
  const auto logarithm = static_cast<double>(math::log1p_nonnegative(product));
  all.add(l, Wide<T>{weighed ? logarithm * static_cast<double>(weight[l]) : logarithm});
}

template <bool weighed, class T>
NDLOSS_INLINE void add_logarithm_run(WideLanes<T>& all, const T* argument, const T* weight, int l) {
  const Product<T> product =
      pairwise<run>([&](int r) __attribute__((always_inline)) { return Product<T>{argument[l + r * lanes]}; });
  add_logarithm<weighed>(all, l, product.less_one, weight);
}

/// Adds the logarithms of one step of folded terms, run by run; the weights of a run are all the same.
template <bool weighed, class T>
[[gnu::noinline]] void add_logarithms(WideLanes<T>& all, const T* argument, const T* weight) {
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    add_logarithm_run<weighed>(all, argument, weight, l);
  }
}

/// Folds `count` terms into half as many.
template <int count, class T>
NDLOSS_INLINE void fold_in_half(const T* argument, T* to) {
#pragma omp simd
  for (int l = 0; l < count / 2; ++l) {
    to[l] = (Product<T>{argument[l]} + Product<T>{argument[l + count / 2]}).less_one;
  }
}

/// Adds the logarithms of one step of folded terms, group by group; the weights of a group of lanes are all the same.
template <class T>
[[gnu::noinline]] void add_group_logarithms(WideLanes<T>& all, const T* argument, const T* weight) {
  constexpr int each = lanes / run;  // logarithms of a group
  static_assert(8 * each == lanes);
  T products[lanes];
  T weights[lanes];
  for (int g = 0; g < run; ++g) {
    T half[lanes / 2];
    T quarter[lanes / 4];
    fold_in_half<lanes>(argument + g * lanes, half);
    fold_in_half<lanes / 2>(half, quarter);
    fold_in_half<lanes / 4>(quarter, products + g * each);
    for (int l = 0; l < each; ++l) {
      weights[g * each + l] = weight[g * lanes];
    }
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    add_logarithm<true>(all, l, products[l], weights);
  }
}

/// Whether the numbers of a step are the same throughout each group of lanes, or throughout each run of a lane.
template <bool in_groups, class T>
[[gnu::noinline]] bool even(const T* numbers) {
  std::uint32_t differ = 0;
  for (std::ptrdiff_t first = 0; first < step; first += lanes) {
#pragma omp simd reduction(| : differ)
    for (int l = 0; l < lanes; ++l) {
      differ |= static_cast<std::uint32_t>(!(numbers[first + l] == numbers[in_groups ? first : l]));
    }
  }
  return differ == 0;
}

/// The logarithm of the product of a lane; not 0 if it has failed. A function, because a struct declared in a simd loop becomes
/// an array.
template <class T, class ProductOf>
NDLOSS_INLINE math::Int<T> log_of_product(const ProductOf& product_of, int l, T* head, T* tail) {
  const ChanceProduct<T> product = product_of(l);
  const math::Pair<T> log = product.log();
  *head = log.head;
  *tail = log.tail;
  return product.failed();
}

/// Adds a logarithm, head + tail, times a factor. Where all chances are almost certain, the tail is the larger part.
template <class T>
NDLOSS_INLINE void add_log(WideLanes<T>& all, int l, double head, double tail, double times) {
  if constexpr (sizeof(T) == 4) {
    all.add(l, Plain{times * (head + tail)});
  } else {
    const math::Pair<double> sum = math::two_sum(times * head, times * tail);
    all.add(l, Tally<double>{sum.head, sum.tail});
  }
}

/// Adds the losses of products of a run each, times the weights of the lanes. False, and nothing is added, where one has
/// failed.
template <bool weighed, class T, class ProductOf>
NDLOSS_INLINE bool add_products(WideLanes<T>& all, const T* weight, const ProductOf& product_of) {
  T heads[lanes];
  T tails[lanes];
  math::Int<T> failed = 0;
#pragma omp simd reduction(| : failed)
  for (int l = 0; l < lanes; ++l) {
    failed |= log_of_product(product_of, l, heads + l, tails + l);
  }
  if (failed != 0) {
    return false;
  }
#pragma omp simd
  for (int l = 0; l < lanes; ++l) {
    add_log(all, l, static_cast<double>(heads[l]), static_cast<double>(tails[l]),
            weighed ? static_cast<double>(-weight[l]) : -1.0);
  }
  return true;
}

/// Adds the losses of one step of chances, times their weights, which are all the same in a run.
template <bool weighed, class T>
[[gnu::noinline]] bool add_chances(WideLanes<T>& all, const T* chance, const T* weight) {
  return add_products<weighed>(all, weight, [&](int l) __attribute__((always_inline)) {
    return pairwise<run>([&](int r)
                             __attribute__((always_inline)) { return ChanceProduct<T>::of(Chance<T>{chance[l + r * lanes]}); });
  });
}

/// Writes the losses of one step of chances as folded terms.
template <class T>
[[gnu::noinline]] void fold_chances(T* chance_and_linear, T* argument) {
#pragma omp simd
  for (std::ptrdiff_t k = 0; k < step; ++k) {
    const Folded<T> parts = Chance<T>{chance_and_linear[k]}.folded();
    chance_and_linear[k] = parts.linear;
    argument[k] = parts.argument;
  }
}

/// Makes values of folded terms.
template <class T>
[[gnu::noinline]] void unfold(T* value, const T* argument) {
#pragma omp simd
  for (std::ptrdiff_t k = 0; k < step; ++k) {
    value[k] += math::log1p_nonnegative(argument[k]);
  }
}

/// Adds one step of terms times their weights, of which there are `count` only in the last step. What is folded is unfolded
/// where weights differ both in their runs and in their groups.
template <class T>
[[gnu::noinline]] void add_weighted(WideLanes<T>& all, T* value, const T* argument, const T* weight, std::ptrdiff_t count) {
  T padded[step];
  if (count < step) {
    for (std::ptrdiff_t k = 0; k < step; ++k) {
      padded[k] = k < count ? weight[k] : T(0);
    }
    weight = padded;
  }
  const bool even_runs = argument != nullptr && even<false>(weight);
  const bool even_groups = argument != nullptr && !even_runs && even<true>(weight);
  if (argument != nullptr && !even_runs && !even_groups) {
    unfold(value, argument);
  }
  add_values<true>(all, value, weight);
  if (even_runs) {
    add_logarithms<true>(all, argument, weight);
  } else if (even_groups) {
    add_group_logarithms(all, argument, weight);
  }
}

/// Adds one step of terms; behind the last `count` stand zeros. Where nothing is folded `argument` is null, and where all
/// weights are 1 `weight` is.
template <class T>
NDLOSS_INLINE void add_step(WideLanes<T>& all, T* value, const T* argument, const T* weight, std::ptrdiff_t count) {
  if (weight != nullptr) {
    add_weighted(all, value, argument, weight, count);
    return;
  }
  add_values<false>(all, value, weight);
  if (argument != nullptr) {
    add_logarithms<false>(all, argument, weight);
  }
}

/// Adds the losses of one step of chances: as products where the weights and the chances allow it.
template <class T>
NDLOSS_INLINE void add_chance_step(WideLanes<T>& all, T* chance, T* argument, const T* weight, std::ptrdiff_t count) {
  if constexpr (ChanceProduct<T>::possible) {
    if (weight == nullptr ? add_chances<false>(all, chance, weight)
                          : count == step && even<false>(weight) && add_chances<true>(all, chance, weight)) {
      return;
    }
  }
  fold_chances(chance, argument);
  add_step(all, chance, argument, weight, count);
}

}  // namespace
}  // namespace ndloss::NDLOSS_ISA

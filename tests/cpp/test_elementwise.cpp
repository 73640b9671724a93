// Values and gradients of the elementwise losses from C++, at the numbers of the specification.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ndloss/ndloss.hpp"

using ndloss::Output;
using ndloss::Reduction;

namespace {

using Numbers = std::vector<double>;

template <class L>
Numbers unreduced(const L& loss, const Numbers& input, const Numbers& target) {
  Numbers out(input.size());
  ndloss::evaluate(loss, {input, target}, std::span{out});
  return out;
}

template <class L>
Numbers gradient(const L& loss, const Numbers& input, const Numbers& target) {
  Numbers out(input.size());
  ndloss::value_and_gradient(loss, {input, target}, std::span{out}, {.reduction = Reduction::sum});
  return out;
}

void check_near(const Numbers& found, const Numbers& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  }
}

const Numbers steps = {0, 0.5, -2, 3};
const Numbers zeros = {0, 0, 0, 0};

}  // namespace

TEST_CASE("losses of a difference bend where their parameter says") {
  check_near(unreduced(ndloss::L1Loss{}, steps, zeros), {0, 0.5, 2, 3});
  check_near(gradient(ndloss::L1Loss{}, steps, zeros), {0, 1, -1, 1});
  check_near(unreduced(ndloss::SmoothL1Loss{.beta = 0.5}, steps, zeros), {0, 0.25, 1.75, 2.75});
  check_near(gradient(ndloss::SmoothL1Loss{.beta = 2}, steps, zeros), {0, 0.25, -1, 1});
  check_near(unreduced(ndloss::SmoothL1Loss{.beta = 0}, steps, zeros), {0, 0.5, 2, 3});
  check_near(gradient(ndloss::SmoothL1Loss{.beta = 0}, steps, zeros), {0, 1, -1, 1});
  check_near(unreduced(ndloss::HuberLoss{.delta = 2}, steps, zeros), {0, 0.125, 2, 4});
  check_near(gradient(ndloss::HuberLoss{.delta = 0.5}, steps, zeros), {0, 0.5, -0.5, 0.5});
}

TEST_CASE("a weighted mean divides by the weights for l1, by the elements for huber") {
  const Numbers weight = {1, 2, 0, 4};
  const ndloss::ArrayView view(weight);
  CHECK(ndloss::evaluate(ndloss::L1Loss{}, {steps, zeros}, {.weight = &view}) == doctest::Approx(13.0 / 7));
  CHECK(ndloss::evaluate(ndloss::HuberLoss{}, {steps, zeros}, {.weight = &view}) == doctest::Approx(2.5625));
}

TEST_CASE("likelihoods and divergences of the specification") {
  check_near(
      unreduced(ndloss::KLDivLoss{}, {std::log(0.2), std::log(0.5), -std::numeric_limits<double>::infinity()}, {0.3, 0.3, 0}),
      {0.121640, -0.153248, 0});
  check_near(unreduced(ndloss::KLDivLogTargetLoss{}, {std::log(0.2)}, {std::log(0.3)}), {0.121640});
  check_near(unreduced(ndloss::PoissonNLLLoss{}, {0.5, 1, 2}, {0, 1, 5}), {1.648721, 1.718282, -2.610944});
  check_near(unreduced(ndloss::PoissonNLLFullLoss{}, {0.5, 1, 2}, {0, 1, 5}), {1.648721, 1.718282, 2.159904});
  check_near(unreduced(ndloss::PoissonNLLRateLoss{}, {0.5, 1, 2}, {0, 1, 5}), {0.5, 1, -1.465736});
  check_near(unreduced(ndloss::PoissonNLLRateFullLoss{}, {0.5, 1, 2}, {0, 1, 5}), {0.5, 1, 3.305111});
}

TEST_CASE_TEMPLATE("binary cross entropy folds hard targets", V, float, double) {
  using Limits = std::numeric_limits<V>;
  const ndloss::BCELoss loss;
  CHECK(loss.unfoldable(V(0.5), V(0)) == 0);
  CHECK(loss.unfoldable(V(0.5), V(1)) == 0);
  CHECK(loss.unfoldable(V(0.5), V(0.5)) != 0);
  CHECK(loss.unfoldable(V(1.5), V(1)) != 0);
  CHECK(loss.unfoldable(V(-0.5), V(0)) != 0);
  CHECK(loss.unfoldable(Limits::quiet_NaN(), V(0)) != 0);
  CHECK(loss.unfoldable(V(0.5), Limits::quiet_NaN()) != 0);
  const auto check = [&](V input, V target) {
    CAPTURE(input);
    CAPTURE(target);
    const ndloss::Chance<V> chance = loss.folded(input, target);
    const ndloss::Folded<V> parts = chance.folded();
    const auto p = static_cast<long double>(input);
    const long double exact = std::min(-(target == V(1) ? std::log(p) : std::log1p(-p)), 100.0L);
    CHECK(parts.argument >= V(0));
    CHECK(parts.argument < V(512));  // eight of them multiply without overflow
    CHECK(std::abs(static_cast<long double>(parts.value()) - exact) <= 3 * exact * Limits::epsilon());
    const auto product = ndloss::ChanceProduct<V>::of(chance);
    CHECK(static_cast<long double>(product.head) + static_cast<long double>(product.lost) == (target == V(1) ? p : 1 - p));
  };
  for (const V target : {V(0), V(1)}) {
    for (V p = Limits::min() / 2; p < V(1); p *= V(1.37)) {
      check(p, target);
      check(V(1) - p, target);
    }
    for (const V p : {V(0), V(1), V(0.5), Limits::denorm_min(), std::nextafter(V(1), V(0)), V(0x1p-8), V(4e-44), V(3.5e-44)}) {
      check(p, target);
    }
  }
}

TEST_CASE("a predicted variance has a gradient of its own, and is not negative") {
  const Numbers mean = {1, 2, 3};
  const Numbers target = {1.5, 2, 2};
  Numbers variance = {1, 0.5, 2};
  std::array<Numbers, 3> grads = {Numbers(3), Numbers(3), Numbers(3)};
  const double value = ndloss::value_and_gradient(
      ndloss::GaussianNLLLoss{}, {mean, target, variance},
      {Output(std::span{grads[0]}), Output(std::span{grads[1]}), Output(std::span{grads[2]})}, {.reduction = Reduction::sum});
  CHECK(value == doctest::Approx(0.125 - 0.346574 + 0.596574).epsilon(1e-5));
  check_near(grads[0], {-0.5, 0, 0.5});
  check_near(grads[1], {0.5, 0, -0.5});
  check_near(grads[2], {0.375, 1, 0.125});
  variance[1] = -1;
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(ndloss::GaussianNLLLoss{}, {mean, target, variance})),
                  std::invalid_argument);
}

TEST_CASE("losses of answers and orders of the specification") {
  check_near(unreduced(ndloss::SoftMarginLoss{}, {0.5, -2, 3, -800}, {1, -1, -1, 1}), {0.474077, 0.126928, 3.048587, 800});
  check_near(gradient(ndloss::SoftMarginLoss{}, {0, -800}, {1, 1}), {-0.5, -1});
  check_near(unreduced(ndloss::HingeEmbeddingLoss{}, {0.5, 2, -1, 0.5, 0.3}, {1, -1, -1, -1, 0}), {0.5, 0, 2, 0.5, 1});
  check_near(gradient(ndloss::HingeEmbeddingLoss{}, {0.5, 2, -1, 1}, {1, -1, -1, -1}), {1, 0, -1, -1});
  const Numbers first = {1, 2, 3, 1};
  const Numbers second = {2, 1, 3, 0};
  const Numbers order = {1, 1, -1, 0};
  Numbers out(4);
  ndloss::evaluate(ndloss::MarginRankingLoss{.margin = 0.5}, {first, second, order}, std::span{out});
  check_near(out, {1.5, 0, 0.5, 0.5});
}

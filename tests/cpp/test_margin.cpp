// Margin losses of class scores through the C++ interface.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ndloss/ndloss.hpp"

using ndloss::Accumulator;
using ndloss::MultiLabelMarginLoss;
using ndloss::MultiMarginLoss;
using ndloss::Reduction;
using ndloss::RowsView;

namespace {

constexpr std::array<double, 12> scores = {0.1, 0.2, 0.4, 0.8, 0.5, 0.1, 0.3, 0.9, 2.0, 0.0, 0.0, 0.0};
constexpr RowsView<const double> rows{scores.data(), 3, 4};
constexpr std::array<std::int64_t, 3> labels = {3, 0, 0};
constexpr RowsView<const double> two_rows{scores.data(), 2, 4};
constexpr std::array<std::int16_t, 8> sets = {3, 0, -1, 1, 1, -1, 2, -1};

template <class Call>
std::string out_of_range(Call call) {
  try {
    call();
  } catch (const std::out_of_range& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("multi-margin gives the published numbers") {
  std::array<double, 3> out{};
  ndloss::evaluate(MultiMarginLoss{}, rows, labels, std::span{out});
  CHECK(out[0] == doctest::Approx(0.325));
  CHECK(out[1] == doctest::Approx(0.7));
  CHECK(out[2] == 0);
  const std::array<double, 4> weight = {1, 2, 3, 0.5};
  ndloss::evaluate(MultiMarginLoss{.p = 2, .margin = 0.5, .weight = weight}, rows, labels, std::span{out});
  CHECK(out[0] == doctest::Approx(0.00125));
  CHECK(out[1] == doctest::Approx(0.2275));
}

TEST_CASE("multi-margin gives value and gradient together") {
  std::array<double, 12> gradient{};
  const double both = ndloss::value_and_gradient(MultiMarginLoss{}, rows, labels, std::span{gradient});
  CHECK(both == ndloss::evaluate(MultiMarginLoss{}, rows, labels));
  CHECK(gradient[0] == doctest::Approx(1.0 / 12));
  CHECK(gradient[3] == doctest::Approx(-3.0 / 12));
  CHECK(gradient[8] == 0);
}

TEST_CASE("multi-label margin gives the published numbers") {
  std::array<double, 2> out{};
  ndloss::evaluate(MultiLabelMarginLoss{}, two_rows, sets, std::span{out});
  CHECK(out[0] == doctest::Approx(0.85));
  CHECK(out[1] == doctest::Approx(1.1));
  std::array<float, 8> gradient{};
  const double sum =
      ndloss::value_and_gradient(MultiLabelMarginLoss{}, two_rows, sets, std::span{gradient}, {.reduction = Reduction::sum});
  CHECK(sum == doctest::Approx(1.95));
  CHECK(gradient == std::array<float, 8>{-0.5F, 0.5F, 0.5F, -0.5F, 0.25F, -0.75F, 0.25F, 0.25F});
}

TEST_CASE("chunks of a margin loss joined give the whole") {
  Accumulator joined =
      ndloss::accumulate(MultiMarginLoss{}, RowsView<const double>{scores.data(), 1, 4}, std::span(labels).first(1));
  joined += ndloss::accumulate(MultiMarginLoss{}, RowsView<const double>{scores.data() + 4, 2, 4}, std::span(labels).last(2));
  CHECK(joined.count == 3);
  CHECK(joined.compute(Reduction::mean) == doctest::Approx(ndloss::evaluate(MultiMarginLoss{}, rows, labels)).epsilon(1e-15));
}

TEST_CASE("what a margin loss cannot take is refused") {
  const std::array<std::int64_t, 3> wrong = {3, -1, 0};
  CHECK(out_of_range([&] { static_cast<void>(ndloss::evaluate(MultiMarginLoss{}, rows, wrong)); }) ==
        "multi_margin_loss: target[1] is -1, outside [0, 4). Target -1 is out of bounds.");
  const std::array<std::int64_t, 8> behind = {3, 0, -1, 1, 1, -1, 2, 4};
  CHECK(out_of_range([&] { static_cast<void>(ndloss::evaluate(MultiLabelMarginLoss{}, two_rows, behind)); }) ==
        "multilabel_margin_loss: target[7] is 4, outside [-1, 4). Target 4 is out of bounds.");
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MultiMarginLoss{.p = 3}, rows, labels)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MultiLabelMarginLoss{}, two_rows, labels)), std::invalid_argument);
  const std::vector<double> floats(8);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MultiLabelMarginLoss{}, two_rows, floats)), std::invalid_argument);
  CHECK_THROWS_AS(
      static_cast<void>(ndloss::evaluate(MultiMarginLoss{}, RowsView<const double>{scores.data(), 3, 2, 2}, labels)),
      std::invalid_argument);
  CHECK(
      std::isnan(ndloss::evaluate(MultiMarginLoss{}, RowsView<const double>{scores.data(), 0, 4}, std::span(labels).first(0))));
}

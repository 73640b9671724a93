// Sequence losses from C++: what they come to, what they refuse, what must not change a result.
#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "ndloss/ndloss.hpp"

using ndloss::CTCLoss;
using ndloss::Options;
using ndloss::Reduction;
using ndloss::SequencesView;
using ndloss::Transcripts;

namespace {

/// Samples of random log-probabilities with labels 1, 2, 1, 2, ...
template <class T>
struct Speech {
  std::int64_t frames;
  std::int64_t batch;
  std::int64_t classes = 5;
  std::vector<T> log_probs;
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> input_lengths;
  std::vector<std::int64_t> target_lengths;

  Speech(std::int64_t t, std::int64_t n)
      : frames(t),
        batch(n),
        log_probs(static_cast<std::size_t>(t * n * classes)),
        input_lengths(static_cast<std::size_t>(n), t),
        target_lengths(static_cast<std::size_t>(n), 3) {
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal(-1, 2);
    for (T& x : log_probs) {
      x = static_cast<T>(normal(random));
    }
    for (std::int64_t i = 0; i < 3 * n; ++i) {
      labels.push_back(static_cast<std::int32_t>(1 + i % 2));
    }
  }

  [[nodiscard]] SequencesView<const T> view() const { return {log_probs.data(), frames, batch, classes}; }
  [[nodiscard]] Transcripts padded() const {
    return {ndloss::ArrayView(labels.data(), {batch, 3}), input_lengths, target_lengths};
  }
  [[nodiscard]] Transcripts concatenated() const { return {labels, input_lengths, target_lengths}; }
};

std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }

}  // namespace

TEST_CASE("two even classes over three frames: six of eight alignments read as one label") {
  const std::vector<double> even(6, std::log(0.5));
  const std::array<std::int64_t, 1> frames = {3};
  const std::array<std::int64_t, 1> one = {1};
  const std::vector<std::int64_t> label = {1};
  const double loss = ndloss::evaluate(CTCLoss{}, SequencesView<const double>{even.data(), 3, 1, 2}, {label, frames, one});
  CHECK(loss == doctest::Approx(-std::log(6.0 / 8.0)).epsilon(1e-14));
}

TEST_CASE("reductions, layouts and parts agree") {
  const Speech<float> s(20, 9);
  std::vector<float> each(9);
  ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), std::span<float>(each));
  double sum = 0;
  for (const float loss : each) {
    sum += loss;
  }
  CHECK(ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), {.reduction = Reduction::sum}) == doctest::Approx(sum).epsilon(1e-6));
  const double mean = ndloss::evaluate(CTCLoss{}, s.view(), s.padded());
  CHECK(mean == doctest::Approx(sum / 27).epsilon(1e-6));
  CHECK(bits(ndloss::evaluate(CTCLoss{}, s.view(), s.concatenated())) == bits(mean));
  for (const int threads : {1, 2, 5}) {
    CHECK(bits(ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), {.threads = threads})) == bits(mean));
  }
}

TEST_CASE("samples count as their sample weights say") {
  const Speech<double> s(12, 4);
  const std::vector<float> weights = {3.0F, 0.0F, 1.0F, 0.5F};
  const ndloss::ArrayView weight(weights);
  std::vector<double> each(4);
  ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), std::span<double>(each));
  std::vector<double> weighed(4);
  ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), std::span<double>(weighed), {.sample_weight = &weight});
  std::vector<double> plain(s.log_probs.size());
  static_cast<void>(
      ndloss::value_and_gradient(CTCLoss{}, s.view(), s.padded(), std::span<double>(plain), {.reduction = Reduction::sum}));
  double sum = 0;
  for (std::size_t n = 0; n < 4; ++n) {
    CHECK(weighed[n] == doctest::Approx(weights[n] * each[n]).epsilon(1e-14));
    sum += weights[n] * each[n];
  }
  std::vector<double> gradient(s.log_probs.size());
  const double mean =
      ndloss::value_and_gradient(CTCLoss{}, s.view(), s.padded(), std::span<double>(gradient), {.sample_weight = &weight});
  CHECK(mean == doctest::Approx(sum / 3 / 4.5).epsilon(1e-12));  // of three labels each
  CHECK(ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), {.sample_weight = &weight}) == doctest::Approx(mean).epsilon(1e-14));
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double w = weights[i / 5 % 4];
    CHECK(gradient[i] == doctest::Approx(w * plain[i] / 3 / 4.5).epsilon(1e-12));
  }
  CHECK(ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), {.reduction = Reduction::sum, .sample_weight = &weight}) ==
        doctest::Approx(sum).epsilon(1e-12));
  const ndloss::ArrayView wrong(std::span<const float>(weights).first(3));
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), {.sample_weight = &wrong})),
                  std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CTCLoss{}, s.view(), s.padded(), {.weight = &weight})),
                  std::invalid_argument);
}

TEST_CASE("the gradient of normalized log-probabilities sums to 0 in every frame") {
  Speech<double> s(16, 3);
  for (std::size_t row = 0; row < s.log_probs.size(); row += 5) {
    double total = 0;
    for (std::size_t c = 0; c < 5; ++c) {
      total += std::exp(s.log_probs[row + c]);
    }
    for (std::size_t c = 0; c < 5; ++c) {
      s.log_probs[row + c] -= std::log(total);
    }
  }
  std::vector<double> grad(s.log_probs.size());
  const double value = ndloss::value_and_gradient(CTCLoss{}, s.view(), s.padded(), std::span<double>(grad));
  CHECK(bits(value) == bits(ndloss::evaluate(CTCLoss{}, s.view(), s.padded())));
  for (std::size_t row = 0; row < grad.size(); row += 5) {
    double total = 0;
    for (std::size_t c = 0; c < 5; ++c) {
      total += grad[row + c];
    }
    CHECK(std::abs(total) < 1e-14);
  }
}

TEST_CASE("without an alignment: infinite, or 0 where it is asked for") {
  Speech<float> s(20, 2);
  s.input_lengths[0] = 2;
  std::vector<float> grad(s.log_probs.size(), 7.0F);
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(ndloss::value_and_gradient(CTCLoss{}, s.view(), s.padded(), std::span<float>(grad)) == inf);
  CHECK(std::isnan(grad[0]));
  CHECK(grad[static_cast<std::size_t>(2 * s.batch * s.classes)] == 0);
  const CTCLoss lenient{.zero_infinity = true};
  CHECK(std::isfinite(ndloss::value_and_gradient(lenient, s.view(), s.padded(), std::span<float>(grad))));
  CHECK(grad[0] == 0);
}

TEST_CASE("labels and lengths are checked") {
  Speech<float> s(20, 4);
  const auto call = [&] { return ndloss::evaluate(CTCLoss{}, s.view(), s.padded()); };
  for (const std::int32_t bad : {5, -1, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    s.labels[7] = bad;
    CHECK_THROWS_AS(static_cast<void>(call()), std::out_of_range);
  }
  s.labels[7] = 1;
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{21}, std::numeric_limits<std::int64_t>::max()}) {
    s.input_lengths[1] = bad;
    CHECK_THROWS_AS(static_cast<void>(call()), std::invalid_argument);
    s.input_lengths[1] = 20;
    s.target_lengths[1] = bad;
    CHECK_THROWS_AS(static_cast<void>(call()), std::invalid_argument);
    CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CTCLoss{}, s.view(), s.concatenated())), std::invalid_argument);
    s.target_lengths[1] = 3;
  }
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CTCLoss{.blank = 5}, s.view(), s.padded())), std::invalid_argument);
  CHECK_THROWS_AS(
      static_cast<void>(ndloss::evaluate(CTCLoss{}, SequencesView<const float>{s.log_probs.data(), 20, 0, 5}, s.padded())),
      std::invalid_argument);
  std::vector<float> small(3);
  CHECK_THROWS_AS(static_cast<void>(ndloss::value_and_gradient(CTCLoss{}, s.view(), s.padded(), std::span<float>(small))),
                  std::invalid_argument);
  CHECK_NOTHROW(static_cast<void>(call()));
}

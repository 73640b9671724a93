// An application of the C++ library: every way of calling it once, each answer checked against the formula in plain double.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <vector>

#include <ndloss/ndloss.hpp>

namespace {

int wrong = 0;

void expect(const char* what, double got, double want, double tolerance) {
  const bool good = std::abs(got - want) <= tolerance * std::abs(want);
  std::printf("%-44s %.9g%s\n", what, got, good ? "" : "  WRONG");
  if (!good) {
    std::printf("%-44s %.9g expected\n", "", want);
    ++wrong;
  }
}

template <class Error, class Call>
void expect_throw(const char* what, Call call) {
  try {
    call();
  } catch (const Error& error) {
    std::printf("%-44s %s\n", what, error.what());
    return;
  }
  std::printf("%-44s no exception  WRONG\n", what);
  ++wrong;
}

/// Pinball loss: quantile regression, a loss that the library does not have.
struct PinballLoss {
  double quantile = 0.5;

  static constexpr const char* name = "pinball_loss";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr ndloss::Domain domains[] = {ndloss::Domain::real, ndloss::Domain::real};

  template <class V>
  NDLOSS_INLINE ndloss::Term<V, 2> operator()(V input, V target) const {
    const V q = static_cast<V>(quantile);
    const V r = target - input;
    const V slope = ndloss::math::select(r < V(0), V(1) - q, -q);
    return {.value = -slope * r, .grad = {slope, -slope}, .curvature = {V(0), V(0)}};
  }
};

double softplus(double x) { return std::log1p(std::exp(x)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

constexpr double single = 3e-7;
constexpr double twice = 1e-15;

void elementwise() {
  constexpr std::size_t n = 3001;
  std::vector<float> input(n);
  std::vector<float> target(n);
  double squares = 0;
  double entropy = 0;
  double weighted = 0;
  double weighted_entropy = 0;
  double weights = 0;
  std::vector<float> weight(n);
  for (std::size_t i = 0; i < n; ++i) {
    input[i] = static_cast<float>(i % 17) * 0.5F - 4.0F;
    target[i] = static_cast<float>(i % 2);
    weight[i] = static_cast<float>(i % 5) * 0.25F;
    const double x = input[i];
    const double y = target[i];
    squares += (x - y) * (x - y);
    entropy += (1 - y) * softplus(x) + y * softplus(-x);
    weighted += static_cast<double>(weight[i]) * (x - y) * (x - y);
    weighted_entropy += static_cast<double>(weight[i]) * ((1 - y) * softplus(x) + y * softplus(-x));
    weights += static_cast<double>(weight[i]);
  }
  const ndloss::MSELoss mse;
  const ndloss::BCEWithLogitsLoss bce;
  expect("mse mean", ndloss::evaluate(mse, {input, target}), squares / n, single);
  expect("mse sum, 2 threads", ndloss::evaluate(mse, {input, target}, {.reduction = ndloss::Reduction::sum, .threads = 2}),
         squares, single);
  const ndloss::ArrayView weight_view = weight;
  expect("mse weighted mean", ndloss::evaluate(mse, {input, target}, {.weight = &weight_view}), weighted / weights, single);
  expect("bce with logits mean", ndloss::evaluate(bce, {input, target}), entropy / n, single);
  expect("bce with logits, sample weights", ndloss::evaluate(bce, {input, target}, {.sample_weight = &weight_view}),
         weighted_entropy / weights, single);

  std::vector<float> gradient(n);
  expect("bce with logits value with gradient", ndloss::value_and_gradient(bce, {input, target}, std::span{gradient}),
         entropy / n, single);
  const double slope = (sigmoid(static_cast<double>(input[5])) - static_cast<double>(target[5])) / static_cast<double>(n);
  expect("... its gradient at 5", static_cast<double>(gradient[5]), slope, 2 * single);

  std::vector<float> unreduced(n);
  ndloss::evaluate(mse, {input, target}, std::span{unreduced});
  const double difference = static_cast<double>(input[n - 2]) - static_cast<double>(target[n - 2]);
  expect("mse of the last but one", static_cast<double>(unreduced[n - 2]), difference * difference, single);

  // Chunks, joined: as workers do it.
  const std::span<const float> x = input;
  const std::span<const float> y = target;
  ndloss::Accumulator total = ndloss::accumulate(bce, {x.first(1000), y.first(1000)});
  total += ndloss::accumulate(bce, {x.subspan(1000), y.subspan(1000)});
  expect("bce with logits of two chunks", total.compute(ndloss::Reduction::mean), entropy / n, single);
  expect("... elements", static_cast<double>(total.count), n, 0);

  // Every second element of a row, by strides in bytes.
  const std::int64_t sizes[] = {1500};
  const std::int64_t strides[] = {2 * sizeof(float)};
  const ndloss::ArrayView even(input.data(), sizes, strides);
  const std::vector<float> zeros(1500);
  double even_squares = 0;
  for (std::size_t i = 0; i < 3000; i += 2) {
    even_squares += static_cast<double>(input[i]) * static_cast<double>(input[i]);
  }
  expect("mse of a strided view", ndloss::evaluate(mse, {even, zeros}), even_squares / 1500, single);

  expect_throw<std::invalid_argument>("sizes that do not fit", [&] { return ndloss::evaluate(mse, {x.first(3), y.first(4)}); });
  expect_throw<std::invalid_argument>("a probability of -4",
                                      [&] { return ndloss::evaluate(ndloss::BCELoss{}, {x.first(10), y.first(10)}); });
}

void own_loss() {
  const std::array<double, 4> input = {1.0, 2.0, 3.0, 4.0};
  const std::array<double, 4> target = {2.0, 2.0, 2.0, 2.0};
  const PinballLoss loss{.quantile = 0.9};
  expect("own loss, mean", ndloss::evaluate(loss, {input, target}), (0.9 + 0.1 + 0.2) / 4, twice);
  std::array<double, 4> gradient = {};
  static_cast<void>(ndloss::value_and_gradient(loss, {input, target}, std::span{gradient}));
  expect("... its gradient below", gradient[0], -0.9 / 4, twice);
  expect("... its gradient above", gradient[3], 0.1 / 4, 4 * twice);
}

void cross_entropy() {
  // Ten scores, the target class 1: 2.1438.
  const std::array<float, 10> scores = {0.8982F, 0.805F, 0.6393F, 0.9983F, 0.5731F, 0.0469F, 0.556F, 0.1476F, 0.8404F, 0.5544F};
  const std::array<std::int64_t, 1> one = {1};
  const ndloss::RowsView<const float> row{scores.data(), 1, 10};
  double sum = 0;
  for (const float score : scores) {
    sum += std::exp(static_cast<double>(score));
  }
  const double by_hand = std::log(sum) - static_cast<double>(scores[1]);
  expect("cross entropy by hand (2.1438)", by_hand, 2.1438, 2e-5);
  expect("cross entropy", ndloss::evaluate(ndloss::CrossEntropyLoss{}, row, one), by_hand, single);

  const std::array<double, 6> logits = {1.0, -0.5, 2.0, 0.25, 0.75, -1.0};
  const std::array<std::int32_t, 2> labels = {2, 1};
  const ndloss::RowsView<const double> rows{logits.data(), 2, 3, 1};
  std::array<double, 2> each = {};
  for (std::size_t n = 0; n < 2; ++n) {
    const double* x = &logits[3 * n];
    each[n] = std::log(std::exp(x[0]) + std::exp(x[1]) + std::exp(x[2])) - x[labels[n]];
  }
  const std::array<double, 3> weight = {1.0, 2.0, 0.5};
  expect("cross entropy, weighted mean", ndloss::evaluate(ndloss::CrossEntropyLoss{.weight = weight}, rows, labels),
         (0.5 * each[0] + 2.0 * each[1]) / 2.5, 4 * twice);
  expect("cross entropy, one row ignored", ndloss::evaluate(ndloss::CrossEntropyLoss{.ignore_index = 2}, rows, labels), each[1],
         4 * twice);
  std::array<double, 2> unreduced = {};
  ndloss::evaluate(ndloss::CrossEntropyLoss{}, rows, labels, std::span{unreduced});
  expect("cross entropy of row 1", unreduced[1], each[1], 4 * twice);

  std::array<double, 6> gradient = {};
  const double mean = ndloss::value_and_gradient(ndloss::CrossEntropyLoss{}, rows, labels, std::span{gradient});
  expect("cross entropy value with gradient", mean, (each[0] + each[1]) / 2, 4 * twice);
  expect("... its gradient at the target", gradient[2], (std::exp(-each[0]) - 1) / 2, 16 * twice);

  const std::array<double, 6> probabilities = {0.2, 0.3, 0.5, 0.0, 1.0, 0.0};
  const double first = 0.2 * (each[0] + logits[2] - logits[0]) + 0.3 * (each[0] + logits[2] - logits[1]) + 0.5 * each[0];
  expect("cross entropy with probabilities", ndloss::evaluate(ndloss::CrossEntropyLoss{}, rows, probabilities),
         (first + each[1]) / 2, 4 * twice);

  ndloss::Accumulator chunks = ndloss::accumulate(
      ndloss::CrossEntropyLoss{}, ndloss::RowsView<const double>{logits.data(), 1, 3}, std::span{labels}.first(1));
  chunks += ndloss::accumulate(ndloss::CrossEntropyLoss{}, ndloss::RowsView<const double>{&logits[3], 1, 3},
                               std::span{labels}.last(1));
  expect("cross entropy of two chunks", chunks.compute(ndloss::Reduction::mean), (each[0] + each[1]) / 2, 4 * twice);

  const std::array<std::int64_t, 2> outside = {0, 3};
  expect_throw<std::out_of_range>("class 3 of 3", [&] { return ndloss::evaluate(ndloss::CrossEntropyLoss{}, rows, outside); });
}

/// A layer of 3 classes on samples of 2 features, two samples' logits at a time.
void chunked_logits() {
  constexpr std::int64_t samples = 5;
  constexpr std::int64_t classes = 3;
  const std::array<double, 10> input = {1.0, 0.5, -0.5, 2.0, 0.0, 1.0, 1.5, -1.0, 0.25, 0.75};
  const std::array<double, 6> weight = {0.5, -1.0, 1.0, 0.25, -0.75, 0.5};
  const std::array<std::uint8_t, 5> labels = {0, 2, 1, 1, 0};
  const auto fill = [&](const ndloss::LogitsChunk<double>& chunk) {
    for (std::int64_t r = 0; r < chunk.rows; ++r) {
      for (std::int64_t c = 0; c < classes; ++c) {
        const double* x = &input[static_cast<std::size_t>(2 * (chunk.begin + r))];
        const double* w = &weight[static_cast<std::size_t>(2 * c)];
        chunk.data[r * classes + c] = x[0] * w[0] + x[1] * w[1];
      }
    }
  };
  std::array<double, classes * samples> whole = {};
  fill({whole.data(), 0, samples, classes});
  double sum = 0;
  for (std::size_t n = 0; n < samples; ++n) {
    const double* x = &whole[3 * n];
    sum += std::log(std::exp(x[0]) + std::exp(x[1]) + std::exp(x[2])) - x[labels[n]];
  }
  std::array<double, 2 * classes> memory = {};
  const ndloss::ChunkedLogits<double> logits{samples, classes, memory};
  expect("cross entropy of chunked logits", ndloss::evaluate(ndloss::CrossEntropyLoss{}, logits, labels, fill), sum / samples,
         8 * twice);
  double bias_slope = 0;
  const double mean = ndloss::value_and_gradient(ndloss::CrossEntropyLoss{}, logits, labels, fill,
                                                 [&](const ndloss::LogitsChunk<const double>& slopes) {
                                                   for (std::int64_t r = 0; r < slopes.rows; ++r) {
                                                     bias_slope += slopes.data[r * classes];
                                                   }
                                                 });
  expect("... with gradient", mean, sum / samples, 8 * twice);
  double expected = 0;
  for (std::size_t n = 0; n < samples; ++n) {
    const double* x = &whole[3 * n];
    expected += std::exp(x[0]) / (std::exp(x[0]) + std::exp(x[1]) + std::exp(x[2])) - (labels[n] == 0 ? 1 : 0);
  }
  expect("... its gradient for the bias of class 0", bias_slope, expected / samples, 64 * twice);
}

}  // namespace

int main() {
  elementwise();
  own_loss();
  cross_entropy();
  chunked_logits();
  std::printf("%s, %d wrong\n", ndloss::get_isa().c_str(), wrong);
  return wrong == 0 ? 0 : 1;
}

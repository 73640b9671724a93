// Logits that a callback makes chunk by chunk: the bits of the whole, its gradients, what is refused.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ndloss/ndloss.hpp"

using ndloss::ArrayView;
using ndloss::ChunkedLogits;
using ndloss::CrossEntropyLoss;
using ndloss::LogitsChunk;
using ndloss::RowsView;

namespace {

template <class T>
struct Layer {
  std::int64_t rows;
  std::int64_t classes;
  std::vector<T> logits;
  std::vector<T> probabilities;
  std::vector<std::int32_t> labels;

  Layer(std::int64_t n, std::int64_t c)
      : rows(n), classes(c), logits(size(n * c)), probabilities(size(n * c)), labels(size(n)) {
    std::mt19937_64 random(static_cast<std::uint64_t>(n * c));
    std::normal_distribution<T> normal(0, 3);
    for (T& x : logits) {
      x = normal(random);
    }
    for (T& q : probabilities) {
      q = static_cast<T>(random() % 1024) / T(1024);
    }
    for (std::int32_t& y : labels) {
      y = random() % 7 == 0 ? -100 : static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(c));
    }
  }

  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

  [[nodiscard]] auto filler() const {
    return [this](const LogitsChunk<T>& chunk) {
      std::copy_n(logits.data() + chunk.begin * classes, chunk.rows * classes, chunk.data);
    };
  }

  [[nodiscard]] RowsView<const T> whole() const { return {logits.data(), rows, classes}; }
};

std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }

}  // namespace

TEST_CASE_TEMPLATE("chunks of whole blocks have the bits of the whole logits", T, float, double) {
  for (const std::int64_t classes : {10, 63, 64, 1000}) {
    const Layer<T> layer(1500, classes);
    const std::int64_t block = ndloss::row_block(ndloss::RowKind::cross_entropy, classes);
    for (const std::int64_t height : {block, 3 * block + 5, std::int64_t{2000}}) {
      CAPTURE(classes);
      CAPTURE(height);
      std::vector<T> memory(Layer<T>::size(height * classes));
      const ChunkedLogits<T> logits{layer.rows, classes, memory};
      std::vector<T> gradient(layer.logits.size());
      const auto keep = [&](const LogitsChunk<const T>& slopes) {
        std::copy_n(slopes.data, slopes.rows * classes, gradient.data() + slopes.begin * classes);
      };
      for (const ArrayView& target : {ArrayView(layer.labels), ArrayView(layer.probabilities)}) {
        for (const CrossEntropyLoss& loss : {CrossEntropyLoss{}, CrossEntropyLoss{.label_smoothing = 0.25}}) {
          std::vector<T> expected(layer.logits.size());
          const double value = ndloss::value_and_gradient(loss, layer.whole(), target, std::span{expected});
          CHECK(bits(ndloss::evaluate(loss, logits, target, layer.filler())) == bits(value));
          CHECK(bits(ndloss::value_and_gradient(loss, logits, target, layer.filler(), keep)) == bits(value));
          CHECK(gradient == expected);
          std::vector<T> each(Layer<T>::size(layer.rows));
          std::vector<T> unreduced(each.size());
          ndloss::evaluate(loss, layer.whole(), target, std::span{each});
          ndloss::evaluate(loss, logits, target, layer.filler(), std::span{unreduced});
          CHECK(unreduced == each);
        }
      }
    }
  }
}

TEST_CASE("memory of less than a block will do, down to one row") {
  const Layer<double> layer(40, 70);
  const double value = ndloss::evaluate(CrossEntropyLoss{}, layer.whole(), layer.labels);
  std::vector<double> memory(3 * 70);
  for (const std::size_t rows : {1, 2, 3}) {
    const ChunkedLogits<double> logits{40, 70, std::span{memory}.first(rows * 70)};
    CHECK(ndloss::evaluate(CrossEntropyLoss{}, logits, layer.labels, layer.filler()) == doctest::Approx(value).epsilon(1e-14));
  }
  const ChunkedLogits<double> none{40, 70, std::span{memory}.first(69)};
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CrossEntropyLoss{}, none, layer.labels, layer.filler())),
                  std::invalid_argument);
}

TEST_CASE("a label out of range is named where it stands in the whole, and nobody is given its gradients") {
  Layer<float> layer(200, 64);
  layer.labels[150] = 64;
  std::vector<float> memory(64 * 64);
  const ChunkedLogits<float> logits{200, 64, memory};
  std::int64_t seen = 0;
  std::string message;
  try {
    static_cast<void>(ndloss::value_and_gradient(CrossEntropyLoss{}, logits, layer.labels, layer.filler(),
                                                 [&](const LogitsChunk<const float>& slopes) { seen += slopes.rows; }));
  } catch (const std::out_of_range& error) {
    message = error.what();
  }
  CHECK(message == "cross_entropy: target[150] is 64, outside [0, 64). Target 64 is out of bounds.");
  CHECK(seen == 128);
}

TEST_CASE("sizes that do not fit are refused before anything is filled") {
  const Layer<float> layer(20, 5);
  std::vector<float> memory(1000);
  const auto never = [](const LogitsChunk<float>& /*chunk*/) { FAIL("filled"); };
  const ChunkedLogits<float> more{21, 5, memory};
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CrossEntropyLoss{}, more, layer.labels, never)), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(CrossEntropyLoss{}, more, layer.probabilities, never)),
                  std::invalid_argument);
  const ChunkedLogits<float> logits{20, 5, memory};
  std::vector<float> out(19);
  CHECK_THROWS_AS(ndloss::evaluate(CrossEntropyLoss{}, logits, layer.labels, never, std::span{out}), std::invalid_argument);
  const ChunkedLogits<float> nothing{0, 5, memory};
  CHECK(std::isnan(ndloss::evaluate(CrossEntropyLoss{}, nothing, std::vector<std::int32_t>{}, never)));
}

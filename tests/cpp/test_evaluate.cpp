// The C++ face of the library: what it refuses, and what must not change a result.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ndloss/ndloss.hpp"

using ndloss::Accumulator;
using ndloss::ArrayView;
using ndloss::BCELoss;
using ndloss::BCEWithLogitsLoss;
using ndloss::CrossEntropyLoss;
using ndloss::MSELoss;
using ndloss::NLLLoss;
using ndloss::Reduction;
using ndloss::RowsView;

namespace {

constexpr std::size_t large = (std::size_t{1} << 20) + 13;

template <class T>
struct Problem {
  std::vector<T> input;
  std::vector<T> target;

  explicit Problem(std::size_t n) : input(n), target(n) {
    std::mt19937_64 random(n);
    std::normal_distribution<T> logits(0, 3);
    for (std::size_t i = 0; i < n; ++i) {
      input[i] = logits(random);
      target[i] = static_cast<T>(random() % 2);
    }
  }
};

std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }

/// Forces a level and puts the old one back.
class Level {
 public:
  explicit Level(const std::string& name) : before_(ndloss::get_isa()) { ndloss::set_isa(name); }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  ~Level() { ndloss::set_isa(before_); }

 private:
  std::string before_;
};

/// The square of the difference, as a program of its own would write it.
struct OwnSquare {
  static constexpr const char* name = "own_square";
  static constexpr int operands = 2;
  static constexpr int inputs = 2;
  static constexpr ndloss::Domain domains[] = {ndloss::Domain::real, ndloss::Domain::real};

  template <class V>
  NDLOSS_INLINE ndloss::Term<V, 2> operator()(V input, V target) const {
    const V r = input - target;
    return {.value = r * r, .grad = {V(2) * r, V(-2) * r}, .curvature = {V(2), V(2)}};
  }
};

template <class Error, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("every level gives a result, and says that it is the one in use") {
  const Problem<float> p(1000);
  for (const std::string& isa : ndloss::available_isas()) {
    CAPTURE(isa);
    const Level level(isa);
    CHECK(ndloss::get_isa() == isa);
    CHECK(ndloss::evaluate(MSELoss{}, {p.input, p.target}) ==
          doctest::Approx(ndloss::evaluate(OwnSquare{}, {p.input, p.target})));
  }
  CHECK_THROWS_AS(ndloss::set_isa("avx3"), std::invalid_argument);
}

TEST_CASE_TEMPLATE("levels with FMA give the same bits", T, float, double) {
  const Problem<T> p(10'007);
  std::vector<std::uint64_t> values;
  for (const std::string& isa : ndloss::available_isas()) {
    if (isa != "baseline") {
      const Level level(isa);
      values.push_back(bits(ndloss::evaluate(BCEWithLogitsLoss{}, {p.input, p.target})));
    }
  }
  for (const std::uint64_t value : values) {
    CHECK(value == values.front());
  }
}

TEST_CASE_TEMPLATE("any number of threads gives the same bits", T, float, double) {
  const Problem<T> p(large);
  const double alone = ndloss::evaluate(BCEWithLogitsLoss{}, {p.input, p.target}, {.threads = 1});
  for (const int threads : {2, 3, 7}) {
    CAPTURE(threads);
    CHECK(bits(ndloss::evaluate(BCEWithLogitsLoss{}, {p.input, p.target}, {.threads = threads})) == bits(alone));
  }
}

TEST_CASE("value_and_gradient has the bits of evaluate") {
  const Problem<float> p(10'007);
  std::vector<float> gradient(p.input.size());
  CHECK(bits(ndloss::value_and_gradient(BCEWithLogitsLoss{}, {p.input, p.target}, std::span{gradient})) ==
        bits(ndloss::evaluate(BCEWithLogitsLoss{}, {p.input, p.target})));
}

TEST_CASE("chunks joined give the whole") {
  const Problem<double> p(100'003);
  const std::span<const double> x = p.input;
  const std::span<const double> y = p.target;
  Accumulator joined;
  for (std::size_t first = 0; first < x.size(); first += 7001) {
    const std::size_t n = std::min<std::size_t>(7001, x.size() - first);
    joined += ndloss::accumulate(BCEWithLogitsLoss{}, {x.subspan(first, n), y.subspan(first, n)});
  }
  const double whole = ndloss::evaluate(BCEWithLogitsLoss{}, {x, y});
  CHECK(joined.count == 100'003);
  CHECK(std::abs(joined.compute(Reduction::mean) - whole) <= std::numeric_limits<double>::epsilon() * whole);
}

TEST_CASE("a part of long rows in Fortran order is that part of a copy") {
  constexpr std::int64_t rows = 37;
  for (const std::int64_t columns : {4097, 8192, 12301}) {
    const Problem<float> p(static_cast<std::size_t>(rows * columns));
    std::vector<float> turned(p.input.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        turned[static_cast<std::size_t>(c * rows + r)] = p.input[static_cast<std::size_t>(r * columns + c)];
      }
    }
    const std::array<std::int64_t, 2> shape = {rows, columns};
    const ArrayView target(p.target.data(), shape);
    const ArrayView copy(p.input.data(), shape);
    ArrayView in_columns(turned.data(), shape);
    in_columns.strides[0] = std::int64_t{sizeof(float)};
    in_columns.strides[1] = rows * in_columns.strides[0];
    const MSELoss loss;
    const auto part = [&](const ArrayView& input, std::int64_t begin, std::int64_t end, int threads) {
      ndloss::ElementwiseCall call;
      call.loss = ndloss::erase(loss);
      call.operands[0] = &input;
      call.operands[1] = &target;
      call.begin = begin;
      call.end = end;
      call.threads = threads;
      return ndloss::accumulate(call);
    };
    for (const std::int64_t begin : {std::int64_t{0}, std::int64_t{1}, columns - 1, 5 * columns + 4096, 17 * columns}) {
      for (const std::int64_t end : {begin, begin + 1, begin + columns, 18 * columns + 5, std::int64_t{-1}}) {
        const Accumulator due = part(copy, begin, end, 1);
        for (const int threads : {1, 3}) {
          CAPTURE(columns);
          CAPTURE(begin);
          CAPTURE(end);
          const Accumulator found = part(in_columns, begin, end, threads);
          CHECK(bits(found.total()) == bits(due.total()));
          CHECK(found.count == due.count);
        }
      }
    }
  }
}

TEST_CASE("a program's own loss meets the shipped one") {
  const Problem<double> p(12'345);
  std::vector<double> own(p.input.size());
  std::vector<double> shipped(p.input.size());
  CHECK(ndloss::value_and_gradient(OwnSquare{}, {p.input, p.target}, std::span{own}) ==
        doctest::Approx(ndloss::value_and_gradient(MSELoss{}, {p.input, p.target}, std::span{shipped})).epsilon(1e-15));
  CHECK(own == shipped);
}

TEST_CASE("sizes that do not fit are refused") {
  const std::vector<float> three(3);
  const std::vector<float> four(4);
  std::vector<float> out(2);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MSELoss{}, {three, four})), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MSELoss{}, {three})), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MSELoss{}, {three, three}, {.threads = -1})), std::invalid_argument);
  CHECK_THROWS_AS(ndloss::evaluate(MSELoss{}, {three, three}, std::span{out}), std::invalid_argument);
  CHECK_THROWS_AS(ndloss::value_and_gradient(MSELoss{}, {three, three}, std::span{out}), std::invalid_argument);
}

TEST_CASE("a probability outside [0, 1] is refused, with its position") {
  std::vector<float> input(5000, 0.5F);
  const std::vector<float> target(5000, 1.0F);
  input[4321] = 1.5F;
  input[4999] = -1.0F;
  const std::string message =
      message_of<std::invalid_argument>([&] { return ndloss::evaluate(BCELoss{}, {input, target}, {.threads = 2}); });
  CAPTURE(message);
  CHECK(message.find("4321") != std::string::npos);
  CHECK(message.find("1.5") != std::string::npos);
}

TEST_CASE("a class index out of range is refused, with its position") {
  const std::vector<float> logits(1000 * 10, 0.5F);
  std::vector<std::int64_t> labels(1000, 3);
  const RowsView<const float> rows{logits.data(), 1000, 10};
  std::vector<float> gradient(logits.size());
  for (const std::int64_t label : {std::int64_t{10}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    labels[777] = label;
    const std::string message =
        message_of<std::out_of_range>([&] { return ndloss::evaluate(CrossEntropyLoss{}, rows, labels); });
    CAPTURE(message);
    CHECK(message.find("777") != std::string::npos);
    CHECK(message.find(std::to_string(label)) != std::string::npos);
    CHECK_THROWS_AS(ndloss::value_and_gradient(CrossEntropyLoss{}, rows, labels, std::span{gradient}), std::out_of_range);
    CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(NLLLoss{}, rows, labels)), std::out_of_range);
  }
}

TEST_CASE("labels of any width are the same labels") {
  const Problem<float> p(40);
  const RowsView<const float> rows{p.input.data(), 4, 10};
  const std::array<std::int64_t, 4> wide = {1, 9, 0, 5};
  const std::array<std::uint8_t, 4> narrow = {1, 9, 0, 5};
  const std::array<std::int32_t, 4> common = {1, 9, 0, 5};
  const double value = ndloss::evaluate(CrossEntropyLoss{}, rows, wide);
  CHECK(bits(ndloss::evaluate(CrossEntropyLoss{}, rows, narrow)) == bits(value));
  CHECK(bits(ndloss::evaluate(CrossEntropyLoss{}, rows, common)) == bits(value));
}

TEST_CASE("nothing has a mean of NaN and a sum of 0") {
  const std::vector<float> none;
  CHECK(std::isnan(ndloss::evaluate(MSELoss{}, {none, none})));
  CHECK(ndloss::evaluate(MSELoss{}, {none, none}, {.reduction = Reduction::sum}) == 0);
}

TEST_CASE("elements count as often as their sample weights say") {
  const std::vector<float> x = {0.5F, -1.0F, 2.0F, 0.25F};
  const std::vector<float> y = {1.0F, 0.0F, 1.0F, 0.0F};
  const std::vector<std::int32_t> weights = {2, 0, 1, 1};
  const std::vector<float> x_copies = {0.5F, 0.5F, 2.0F, 0.25F};
  const std::vector<float> y_copies = {1.0F, 1.0F, 1.0F, 0.0F};
  const ArrayView weight(weights);
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    const ndloss::Options options{.reduction = reduction, .sample_weight = &weight};
    const ndloss::Options plain{.reduction = reduction};
    const double expected = ndloss::evaluate(MSELoss{}, {x_copies, y_copies}, plain);
    CHECK(ndloss::evaluate(MSELoss{}, {x, y}, options) == doctest::Approx(expected).epsilon(1e-7));
    std::vector<float> gradient(4);
    std::vector<float> of_copies(4);
    CHECK(ndloss::value_and_gradient(MSELoss{}, {x, y}, std::span{gradient}, options) ==
          doctest::Approx(expected).epsilon(1e-7));
    static_cast<void>(ndloss::value_and_gradient(MSELoss{}, {x_copies, y_copies}, std::span{of_copies}, plain));
    CHECK(gradient[0] == doctest::Approx(2 * of_copies[0]).epsilon(1e-6));
    CHECK(gradient[1] == 0.0F);
    CHECK(gradient[2] == doctest::Approx(of_copies[2]).epsilon(1e-6));
  }
  std::vector<float> losses(4);
  ndloss::evaluate(MSELoss{}, {x, y}, std::span{losses}, {.sample_weight = &weight});
  CHECK(losses == std::vector<float>{0.5F, 0.0F, 1.0F, 0.0625F});
  const ArrayView wrong(std::span<const std::int32_t>(weights).first(3));
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(MSELoss{}, {x, y}, {.sample_weight = &wrong})), std::invalid_argument);
}

TEST_CASE("a loss that averages over its last axis has a sample weight for each row") {
  const std::vector<double> x = {0.5, -1.0, 2.0, 0.25};
  const std::vector<double> y = {1.0, 0.0, 1.0, 0.0};
  const ArrayView input(x.data(), {2, 2});
  const ArrayView target(y.data(), {2, 2});
  const std::vector<double> weights = {3.0, 1.0};
  const ArrayView weight(weights);
  const ndloss::MultiLabelSoftMarginLoss loss;
  std::vector<double> each(2);
  ndloss::evaluate(loss, {input, target}, std::span{each});
  std::vector<double> weighed(2);
  ndloss::evaluate(loss, {input, target}, std::span{weighed}, {.sample_weight = &weight});
  CHECK(weighed[0] == doctest::Approx(3 * each[0]).epsilon(1e-14));
  CHECK(weighed[1] == each[1]);
  std::vector<double> gradient(4);
  std::vector<double> plain(4);
  const double mean = ndloss::value_and_gradient(loss, {input, target}, std::span{gradient}, {.sample_weight = &weight});
  CHECK(mean == doctest::Approx((3 * each[0] + each[1]) / 4).epsilon(1e-14));
  static_cast<void>(ndloss::value_and_gradient(loss, {input, target}, std::span{plain}, {.reduction = Reduction::sum}));
  CHECK(gradient[1] == doctest::Approx(plain[1] * 3 / 4).epsilon(1e-14));
  CHECK(gradient[2] == doctest::Approx(plain[2] / 4).epsilon(1e-14));
  const ArrayView per_element(x.data(), {2, 2});
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(loss, {input, target}, {.sample_weight = &per_element})),
                  std::invalid_argument);
}

TEST_CASE("rows count as often as their sample weights say") {
  const std::vector<float> logits = {0.5F, -1.0F, 2.0F, 0.0F, 1.5F, -0.5F, -2.0F, 0.25F, 1.0F};
  const std::vector<std::int64_t> labels = {2, 0, 1};
  const std::vector<float> weights = {2.0F, 0.0F, 1.0F};
  // The rows as often as they count.
  const std::vector<float> repeated = {0.5F, -1.0F, 2.0F, 0.5F, -1.0F, 2.0F, -2.0F, 0.25F, 1.0F};
  const std::vector<std::int64_t> repeated_labels = {2, 2, 1};
  const RowsView<const float> rows{logits.data(), 3, 3};
  const RowsView<const float> copies{repeated.data(), 3, 3};
  const ArrayView weight(weights);
  const CrossEntropyLoss loss;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    const ndloss::Options options{.reduction = reduction, .sample_weight = &weight};
    const ndloss::Options plain{.reduction = reduction};
    const double expected = ndloss::evaluate(loss, copies, repeated_labels, plain);
    CHECK(ndloss::evaluate(loss, rows, labels, options) == doctest::Approx(expected).epsilon(1e-6));
    std::vector<float> gradient(9);
    std::vector<float> of_copies(9);
    CHECK(ndloss::value_and_gradient(loss, rows, labels, std::span{gradient}, options) ==
          doctest::Approx(expected).epsilon(1e-6));
    static_cast<void>(ndloss::value_and_gradient(loss, copies, repeated_labels, std::span{of_copies}, plain));
    for (std::size_t c = 0; c < 3; ++c) {
      CHECK(gradient[c] == doctest::Approx(of_copies[c] + of_copies[3 + c]).epsilon(1e-6));
      CHECK(gradient[3 + c] == 0.0F);
      CHECK(gradient[6 + c] == doctest::Approx(of_copies[6 + c]).epsilon(1e-6));
    }
    std::vector<float> memory(6);
    const auto fill = [&](const ndloss::LogitsChunk<float>& chunk) {
      std::copy_n(logits.begin() + chunk.begin * 3, chunk.rows * 3, chunk.data);
    };
    const ndloss::ChunkedLogits<float> chunked{3, 3, std::span{memory}};
    CHECK(ndloss::evaluate(loss, chunked, labels, fill, options) == doctest::Approx(expected).epsilon(1e-6));
  }
  std::vector<float> losses(3);
  ndloss::evaluate(loss, rows, labels, std::span{losses}, {.sample_weight = &weight});
  CHECK(losses[1] == 0.0F);
  const ArrayView wrong(std::span<const float>(weights).first(2));
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(loss, rows, labels, {.sample_weight = &wrong})), std::invalid_argument);
  CHECK_THROWS_AS(static_cast<void>(ndloss::evaluate(loss, rows, labels, {.weight = &weight})), std::invalid_argument);
}

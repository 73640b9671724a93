// The largest error of the functions of math.hpp, in units in the last place, against the C library in the next wider type.
//
//     ulp [--fn NAME|all] [--type float|double|all] [--stride N]
//
// float: every Nth of the 2^32 bit patterns; 1 is all of them. double: 2^28 / N numbers, half of them any bits, half of them
// spread over the range where the functions bend. The floats of furthest_astray are always measured. Exit status 1 if one
// misses its limit: 1 ULP for float, 2 for double.

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <limits>
#include <random>
#include <string_view>

#include "ndloss/exps.hpp"
#include "ndloss/math.hpp"

namespace {

namespace math = ndloss::math;

struct Request {
  std::string_view function = "all";
  std::string_view type = "all";
  std::uint64_t stride = 257;
};

int measured = 0;

template <class V>
constexpr double limit = sizeof(V) == 4 ? 1.0 : 2.0;

/// The type of the references. Its own error is far below what is measured.
template <class V>
struct WiderThan;

template <>
struct WiderThan<float> {
  using Type = double;
};

template <>
struct WiderThan<double> {
  using Type = long double;
  static_assert(std::numeric_limits<long double>::digits >= 64, "double is measured against a wider long double");
};

template <class V>
using Wider = typename WiderThan<V>::Type;

/// How far `got` is from `want`, in units of want's last place. Infinity stands one step above the largest number.
template <class V>
double error_in_ulp(V got, Wider<V> want) {
  if (std::isnan(got) || std::isnan(want)) {
    return std::isnan(got) && std::isnan(want) ? 0 : math::infinity<double>;
  }
  using Limits = std::numeric_limits<V>;
  const Wider<V> above = std::ldexp(Wider<V>(1), Limits::max_exponent);
  want = std::clamp(want, -above, above);
  int exponent = 0;
  std::frexp(want, &exponent);
  const int last_place = std::clamp(exponent, Limits::min_exponent, Limits::max_exponent) - Limits::digits;
  return static_cast<double>(std::ldexp(std::abs(std::clamp(Wider<V>(got), -above, above) - want), -last_place));
}

/// Where the runs over every float have found the largest errors, with and without FMA.
constexpr float furthest_astray[] = {0x1.4cec68p+2F,  0x1.206ce2p+2F,  -0x1.aaf86cp+4F, -0x1.e53286p+5F, 0x1.6be50ep-1F,
                                     0x1.691f64p-1F,  -0x1.2835e4p-2F, -0x1.2a21fap-2F, 0x1.b1cd76p-2F,  0x1.abbc0cp-2F,
                                     -0x1.592e56p+6F, -0x1.592c1cp+6F, -0x1.a345bep-1F, -0x1.765cc6p-1F};

/// Calls `visit` with the arguments to measure at.
template <class Visit>
void each_argument(float /*lowest*/, float /*highest*/, std::uint64_t stride, Visit visit) {
  if (stride > 1) {
    std::for_each(std::begin(furthest_astray), std::end(furthest_astray), visit);
  }
  for (std::uint64_t bits = 0; bits < std::uint64_t(1) << 32; bits += stride) {
    visit(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
}

template <class Visit>
void each_argument(double lowest, double highest, std::uint64_t stride, Visit visit) {
  const double from = std::max(lowest, -40.0);
  const double to = std::min(highest, 40.0);
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> spread(from, to);
  std::uniform_int_distribution<int> down(0, 40);
  for (std::uint64_t i = 0; i < (std::uint64_t(1) << 28) / stride; ++i) {
    visit(i % 2 == 0 ? std::bit_cast<double>(random()) : std::ldexp(spread(random), -down(random)));
  }
}

template <class V>
class Measurement {
 public:
  /// False if `function` misses the limit somewhere in [lowest, highest].
  template <class Function, class Reference>
  static bool holds(const Request& request, const char* name, V lowest, V highest, Function function, Reference reference) {
    if (request.function != "all" && request.function != name) {
      return true;
    }
    ++measured;
    Measurement m;
    each_argument(lowest, highest, request.stride, [&](V x) {
      if (std::isnan(x) || (x >= lowest && x <= highest)) {
        m.argument_[m.filled_++] = x;
        if (m.filled_ == chunk) {
          m.measure(function, reference);
        }
      }
    });
    m.measure(function, reference);
    const bool good = m.worst_ <= limit<V> && m.count_ > 0;
    std::printf("%-18s %-6s  %.4f ULP at %-22a  %llu arguments%s\n", name, sizeof(V) == 4 ? "float" : "double", m.worst_,
                static_cast<double>(m.worst_at_), static_cast<unsigned long long>(m.count_), good ? "" : "  OVER THE LIMIT");
    return good;
  }

 private:
  static constexpr std::size_t chunk = 4096;

  /// By a loop that vectorizes, because that is how the library uses these functions.
  template <class Function, class Reference>
  void measure(Function function, Reference reference) {
    std::fill(argument_ + filled_, argument_ + chunk, V(-0.5));
#pragma omp simd
    for (std::size_t i = 0; i < chunk; ++i) {
      result_[i] = function(argument_[i]);
    }
    for (std::size_t i = 0; i < filled_; ++i) {
      const double error = error_in_ulp(result_[i], static_cast<Wider<V>>(reference(Wider<V>(argument_[i]))));
      if (error > worst_) {
        worst_ = error;
        worst_at_ = argument_[i];
      }
    }
    count_ += filled_;
    filled_ = 0;
  }

  V argument_[chunk];
  V result_[chunk];
  std::size_t filled_ = 0;
  std::uint64_t count_ = 0;
  double worst_ = 0;
  V worst_at_ = 0;
};

template <class V>
bool all_hold(const Request& request) {
  using W = Wider<V>;
  constexpr V inf = math::infinity<V>;
  const auto exp = [](W x) { return std::exp(x); };
  const auto log1p = [](W x) { return std::log1p(x); };
  const auto sigmoid = [](W x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); };
  const auto softplus = [](W x) { return std::max(x, W(0)) + std::log1p(std::exp(-std::abs(x))); };
  // exp_scaled by 2^0: where e^x is a normal number.
  const V least = std::ceil(std::log(std::numeric_limits<V>::min()));
  const V greatest = std::floor(std::log(std::numeric_limits<V>::max()));
  const V magic = math::power_magic<V>(0);

  using M = Measurement<V>;
  bool good = true;
  good &= M::holds(request, "exp", -inf, inf, [](V x) { return math::exp(x); }, exp);
  good &= M::holds(request, "exp_nonpositive", -inf, 0, [](V x) { return math::exp_nonpositive(x); }, exp);
  good &= M::holds(request, "exp_scaled", least, greatest, [magic](V x) { return math::exp_scaled(x, magic); }, exp);
  good &= M::holds(
      request, "exps_scaled", least, greatest,
      [magic](V x) { return math::exps_scaled(math::Several<V, 2>{{V(0), x}}, magic).value(1); }, exp);
  good &= M::holds(request, "log", -inf, inf, [](V x) { return math::log(x); }, [](W x) { return std::log(x); });
  good &= M::holds(
      request, "log_of_probability", std::numeric_limits<V>::denorm_min(), 1,
      [](V x) { return math::select(x == x, math::log_of_probability(x), x); }, [](W x) { return std::log(x); });
  good &= M::holds(request, "log1p", -inf, inf, [](V x) { return math::log1p(x); }, log1p);
  good &= M::holds(request, "log1p_nonnegative", 0, inf, [](V x) { return math::log1p_nonnegative(x); }, log1p);
  good &= M::holds(request, "sigmoid", -inf, inf, [](V x) { return math::sigmoid(x); }, sigmoid);
  good &= M::holds(request, "softplus", -inf, inf, [](V x) { return math::softplus(x); }, softplus);
  return good;
}

bool parse(int argc, char** argv, Request& request) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (i + 1 == argc) {
      return false;
    }
    const std::string_view value = argv[i + 1];
    if (option == "--fn") {
      request.function = value;
    } else if (option == "--type" && (value == "float" || value == "double" || value == "all")) {
      request.type = value;
    } else if (option == "--stride") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), request.stride);
      if (error != std::errc() || end != value.data() + value.size() || request.stride == 0) {
        return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Request request;
  if (!parse(argc, argv, request)) {
    std::fputs("usage: ulp [--fn NAME|all] [--type float|double|all] [--stride N]\n", stderr);
    return 2;
  }
  bool good = true;
  if (request.type != "double") {
    good &= all_hold<float>(request);
  }
  if (request.type != "float") {
    good &= all_hold<double>(request);
  }
  if (measured == 0) {
    std::fputs("ulp: no such function\n", stderr);
    return 2;
  }
  return good ? 0 : 1;
}

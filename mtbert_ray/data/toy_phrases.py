"""The words of the toy corpus. Only material: how sentences and labels are made of it is in toy.py."""

# Reviews: an opener, a subject, a verdict of one of five grades, a setting that says nothing about the grade.
OPENERS = ("", "", "", "Honestly, ", "To my mind, ", "In the end, ", "Looking back, ", "I have to say that ")

SUBJECTS = (
    "the thriller about the lighthouse keeper", "that comedy with the two postmen", "the long documentary on bees",
    "the school play", "the remake of the pirate film", "the last season of the hospital series",
    "the biography of the mountaineer", "this detective novel", "the jazz concert in the park", "the museum tour",
    "the blue rucksack", "this electric kettle", "the folding bicycle", "my new pair of headphones",
    "the cordless drill", "this garden chair", "the budgeting app", "the update of the photo editor",
    "the online course in bookkeeping", "the keyboard I ordered", "the night train to Vienna", "our hotel by the lake",
    "the ferry crossing", "the walking holiday", "the campsite under the pines", "the guided tour of the old harbour",
    "the rental car", "the flight with one stop", "the mushroom risotto", "the bakery on the corner",
    "the tasting menu", "this lentil soup from a tin", "the lunch buffet", "the new canteen", "their fish pie",
    "the workshop on time management", "the annual staff party", "the interview training", "the team meeting",
    "the service at the bank", "the cleaning company", "the yoga class", "the swimming lesson", "the choir rehearsal",
)  # fmt: skip

VERDICTS = (
    (
        "was a complete waste of money", "was so bad that we gave up halfway", "is the worst I have met in years",
        "was a disaster from start to finish", "made me angry that I had ever trusted it", "was simply unbearable",
        "failed in every way in which it could fail", "was dreadful, and nothing could have saved it",
        "left all of us furious", "deserves no stars at all",
    ),
    (
        "was weaker than I had hoped", "was a bit of a letdown", "had more faults than merits",
        "did not quite work for me", "was rather dull and somewhat careless", "felt tired and a little overpriced",
        "was not terrible, but I would not choose it again", "fell short of what was promised",
        "tried my patience more than once", "was mostly disappointing",
    ),
    (
        "was neither good nor bad", "was fine, no more and no less", "did its job and nothing else",
        "was average in every respect", "had some good moments and as many poor ones",
        "left me without a strong opinion", "was acceptable for the price", "was about what you would expect",
        "could have gone either way", "is ordinary, and that is all there is to say",
    ),
    (
        "was better than I had expected", "was pleasant, with only small flaws", "turned out to be quite good",
        "was well made and easy to like", "was nice on the whole", "was solid and worth the money",
        "has a lot of charm, if a few rough edges", "was enjoyable, and I would consider it again",
        "did most things right", "was good value and rather likeable",
    ),
    (
        "was absolutely wonderful", "is the best I have met all year", "was a joy from the first minute to the last",
        "was flawless, and I told everybody about it", "went far beyond anything I had dreamt of",
        "was stunning, and I would pay twice for it", "made the whole family cheer", "was a small masterpiece",
        "deserves every prize there is", "left me speechless with delight",
    ),
)  # fmt: skip
"""By grade, 0 to 4."""

SETTINGS = (
    "", "", "", " when we tried it with my parents", ", and that on a rainy Sunday", ", as my neighbor had told me",
    ", after all that talk about it", ", and my sister felt the same way", ", at least on that particular day",
    " when I was there in March", ", and we were a group of six", " during the autumn break",
)  # fmt: skip

# Questions: by topic, what can be put in, and what can be asked about it, each in several wordings.
QUESTION_OPENERS = ("", "", "Quick question: ", "I was wondering, ", "Can anybody tell me, ", "Asking for a friend: ")

TOPICS = (
    (
        ("the piano", "Spanish", "chess", "watercolour painting", "public speaking", "touch typing", "swimming",
         "knitting", "statistics", "first aid"),
        (
            ("how can I learn {} as an adult?", "what is the best way for a grown-up to take up {}?",
             "which method works for adults who want to study {}?", "where should an adult beginner start with {}?"),
            ("how long does it take to get good at {}?", "how many months do I need to become decent at {}?",
             "how much time should I plan for before I master {}?", "how soon will practice in {} pay off?"),
            ("what do lessons in {} cost?", "how much should I pay a teacher of {}?",
             "is a course in {} expensive?", "what is a fair price for classes in {}?"),
        ),
    ),
    (
        ("Lisbon", "Kyoto", "Oslo", "Cape Town", "Montreal", "Krakow", "Hanoi", "Seville", "Tallinn", "Cusco"),
        (
            ("when is the best time of year to visit {}?", "in which month should I travel to {}?",
             "which season is the nicest one in {}?", "should I go to {} in spring or in autumn?"),
            ("how do I get from the airport to the center of {}?", "which bus or train links {} with its airport?",
             "is there public transport from the airport into {}?", "what is the easiest airport transfer in {}?"),
            ("how much money do I need for a week in {}?", "what is a sensible budget for seven days in {}?",
             "what will a week in {} cost me?", "is {} an expensive city for a week's holiday?"),
        ),
    ),
    (
        ("sourdough bread", "mushroom risotto", "lentil soup", "apple pie", "fried rice", "potato salad", "goulash",
         "tomato sauce", "roast chicken", "chocolate cake"),
        (
            ("how do I make {} from scratch?", "what is a simple recipe for {}?",
             "which ingredients and steps does homemade {} need?", "how is {} cooked at home?"),
            ("how long does {} keep in the fridge?", "for how many days can I store {}?",
             "when does leftover {} go bad?", "is {} still safe to eat after three days?"),
            ("which drink goes well with {}?", "what should I pour for guests when I serve {}?",
             "what would you drink with {}?", "is there a good wine to go with {}?"),
        ),
    ),
    (
        ("laptop", "dishwasher", "bicycle", "phone", "coffee machine", "printer", "vacuum cleaner", "sewing machine",
         "lawn mower", "camera"),
        (
            ("why does my {} keep breaking down?", "what makes a {} fail again and again?",
             "what could be wrong if my {} stops working so often?", "my {} is broken once more, what is the cause?"),
            ("how do I clean a {} properly?", "what is the right way to get the dirt out of a {}?",
             "which products are safe for cleaning a {}?", "how can I make my dirty {} look like new?"),
            ("which {} should I buy this year?", "what is the best {} on the market right now?",
             "can you recommend a good new {}?", "I want a new {}, which model is worth the money?"),
        ),
    ),
    (
        ("a nurse", "a pilot", "an electrician", "a librarian", "a software tester", "a journalist", "a gardener",
         "a primary school teacher", "a translator", "a baker"),
        (
            ("how do I become {}?", "what training do I need to work as {}?",
             "which qualifications are asked of {}?", "what are the steps to a career as {}?"),
            ("how much does {} earn?", "what is the usual salary of {}?",
             "what can {} expect to be paid a month?", "is the pay of {} any good?"),
            ("what does {} do all day?", "what is a typical day in the life of {}?",
             "which tasks fill the working hours of {}?", "how does an ordinary working day look for {}?"),
        ),
    ),
    (
        ("a rabbit", "a parrot", "a tortoise", "a hamster", "a goldfish", "a pony", "a kitten", "a guinea pig",
         "a canary", "a greyhound"),
        (
            ("what should I feed {}?", "which food is healthy for {}?", "what does {} like to eat?",
             "what belongs in the daily diet of {}?"),
            ("how many years does {} live?", "what is the life expectancy of {}?", "how old can {} get?",
             "what age does {} usually reach?"),
            ("how much space does {} need?", "how large must the home of {} be?",
             "is a small flat big enough for {}?", "what is the least room I should give {}?"),
        ),
    ),
)  # fmt: skip

# Scenes: five slots, each value in two wordings of the same meaning.
WHO = (
    ("a young chef", "a junior cook"), ("an old man", "an elderly gentleman"), ("two children", "a pair of kids"),
    ("the postwoman", "the lady who brings the mail"), ("a tired doctor", "an exhausted physician"),
    ("the tall farmer", "the farmer, a tall man,"), ("a group of students", "some students"),
    ("my neighbor", "the woman next door"), ("a police officer", "a policeman"), ("the band's singer", "the vocalist"),
    ("a mother and her son", "a woman and her boy"), ("the new teacher", "the teacher who has just started"),
)  # fmt: skip

DID = (
    ("peeled a bag of potatoes", "took the skin off a sack of potatoes"), ("repaired a broken bike", "fixed a bicycle"),
    ("read a long letter", "went through a lengthy letter"), ("painted a wooden fence", "put paint on a timber fence"),
    ("played a slow song on the guitar", "strummed a quiet guitar tune"), ("fed some ducks", "gave bread to the ducks"),
    ("washed a red car", "cleaned a car that was red"), ("bought a bunch of roses", "paid for a bouquet of roses"),
    ("took pictures of a statue", "photographed a sculpture"), ("carried a heavy sofa", "lifted a weighty couch"),
    ("argued about football", "had a quarrel over soccer"), ("planted an apple tree", "put an apple tree in the soil"),
)  # fmt: skip

WHERE = (
    ("in a small kitchen", "inside a tiny kitchen"), ("beside the river", "on the river bank"),
    ("at the railway station", "at the train station"), ("in front of the church", "before the church door"),
    ("on a crowded market square", "in a busy market place"), ("in the school yard", "on the school playground"),
    ("on the roof of the hotel", "up on the hotel roof"), ("at the edge of a forest", "where the woods begin"),
    ("in a shop in town", "in a store downtown"), ("behind the fire station", "at the back of the fire station"),
)  # fmt: skip

WHEN = (
    ("before sunrise", "in the early morning"), ("late at night", "around midnight"),
    ("on Monday", "on Monday this week"),
    ("during the summer holidays", "in the summer break"), ("on New Year's Day", "on the first of January"),
    ("last winter", "in the winter that has just passed"), ("at noon", "in the middle of the day"),
    ("two days ago", "the day before yesterday"), ("after the storm", "once the storm was over"),
    ("at the weekend", "on Saturday and Sunday"),
)  # fmt: skip

HOW = (
    ("without a word", "in complete silence"), ("for ten euros", "at a price of ten euros"),
    ("in a great hurry", "very quickly"), ("with a big smile", "smiling broadly"),
    ("for the first time", "never having done so before"), ("while the rain fell", "as it was raining"),
    ("with great care", "very carefully"), ("by mistake", "by accident"), ("for a TV show", "to be shown on TV"),
    ("with the help of a friend", "helped by a friend"),
)  # fmt: skip

SCENE_SLOTS = (WHO, DID, WHERE, WHEN, HOW)
